package greet;

import greetings.Greetings; // from the layer
import java.util.Map;

public class Greet {
    public Map<String, String> handle(Map<String, String> event) {
        String text = Greetings.greet(event.get("name"), event.getOrDefault("language", "en"));
        String jar = Greetings.class.getProtectionDomain().getCodeSource().getLocation().getPath();
        return Map.of("greeting", text, "layer", jar);
    }
}
