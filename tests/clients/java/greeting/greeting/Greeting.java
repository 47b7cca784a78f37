package greeting;

/** Comes in a layer of its own. */
public final class Greeting {
    private Greeting() {}

    public static String greet(Object name) {
        return "Hello, " + name;
    }
}
