import java.util.Arrays;
import java.util.List;
import java.util.Map;

/**
 * The conformance kit's handler: does what events ask for, and gives back any other event as it is. See
 * docs/reference/verification.md. It is compiled without AWS's classes, so it takes no context.
 */
public final class Verify {
    private static final List<String> ACTIONS =
            Arrays.asList("actions", "echo", "error", "print", "size", "sleep", "environment");

    public Object handler(Object event) throws Exception {
        if (!(event instanceof Map) || !((Map<?, ?>) event).containsKey("verify")) {
            return event;
        }
        Map<?, ?> wanted = (Map<?, ?>) event;
        switch (String.valueOf(wanted.get("verify"))) {
            case "actions":
                return ACTIONS;
            case "echo":
                return wanted.get("value");
            case "error":
                throw new RuntimeException(String.valueOf(wanted.get("message")));
            case "print":
                System.out.println(wanted.get("text"));
                return null;
            case "size":
                char[] letters = new char[((Number) wanted.get("bytes")).intValue()];
                Arrays.fill(letters, 'x');
                return new String(letters);
            case "sleep":
                Thread.sleep((long) (((Number) wanted.get("seconds")).doubleValue() * 1000));
                return null;
            case "environment":
                return System.getenv(String.valueOf(wanted.get("name")));
            default:
                return null;
        }
    }
}
