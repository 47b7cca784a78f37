package example;

import com.amazonaws.services.lambda.runtime.Context;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.util.List;

/** Handlers of the kinds that AWS's Java runtime client takes besides maps. */
public final class Handlers {
    public static final class Order {
        private String item;
        private int count;

        public String getItem() {
            return item;
        }

        public void setItem(String item) {
            this.item = item;
        }

        public int getCount() {
            return count;
        }

        public void setCount(int count) {
            this.count = count;
        }
    }

    public static final class Bill {
        private final String text;

        Bill(String text) {
            this.text = text;
        }

        public String getText() {
            return text;
        }
    }

    public Bill pojo(Order order, Context context) {
        return new Bill(order.getCount() + " x " + order.getItem());
    }

    public void stream(InputStream input, OutputStream output, Context context) throws IOException {
        String text = new String(input.readAllBytes(), StandardCharsets.UTF_8);
        context.getLogger().log("got " + text + "\nand that is all");
        output.write(text.replace("question", "answer").getBytes(StandardCharsets.UTF_8));
    }

    public List<String> options(Object event) {
        return ManagementFactory.getRuntimeMXBean().getInputArguments();
    }
}
