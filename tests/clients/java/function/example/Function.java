package example;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import greeting.Greeting;
import java.util.LinkedHashMap;
import java.util.Map;

/** A function on AWS's Java runtime client that does what its event says. */
public final class Function implements RequestHandler<Map<String, Object>, Object> {
    private int count;

    public static final class Refused extends RuntimeException {
        Refused(String reason) {
            super(reason);
        }
    }

    @Override
    public Object handleRequest(Map<String, Object> event, Context context) {
        count++;
        Object value = event.get("value");
        String action = String.valueOf(event.get("action"));
        if (action.equals("fail")) {
            throw new Refused((String) value);
        }
        if (action.equals("greet")) {
            return Greeting.greet(value);
        }
        Map<String, Object> about = new LinkedHashMap<>();
        about.put("request_id", context.getAwsRequestId());
        about.put("arn", context.getInvokedFunctionArn());
        about.put("name", context.getFunctionName());
        about.put("version", context.getFunctionVersion());
        about.put("deadline_ms", System.currentTimeMillis() + context.getRemainingTimeInMillis());
        about.put("trace_id", System.getProperty("com.amazonaws.xray.traceHeader"));
        if (context.getClientContext() != null) {
            about.put("client_context", Map.of("custom", context.getClientContext().getCustom()));
        }
        Map<String, Object> answer = new LinkedHashMap<>();
        answer.put("value", value);
        answer.put("count", count);
        answer.put("context", about);
        return answer;
    }
}
