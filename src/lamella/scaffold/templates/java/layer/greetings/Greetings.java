package greetings;

import java.util.Map;

/** What functions with this layer share. */
public final class Greetings {
    private static final Map<String, String> WORDS =
        Map.of("de", "Hallo", "en", "Hello", "es", "Hola", "fr", "Bonjour");

    public static String greet(String name, String language) {
        if (!WORDS.containsKey(language)) {
            throw new IllegalArgumentException("there is no greeting in " + language);
        }
        return WORDS.get(language) + ", " + name + "!";
    }

    private Greetings() {}
}
