import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.Enumeration;
import java.util.List;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;

/**
 * Loads the classes of jars, without initialising them, and makes their JDBC drivers. Prints a line of JSON about each
 * jar. Runs inside a sandbox; `make probes` compiles it, for Java 8 and later.
 *
 * Jars hold classes for libraries that are not there, which is no fault of theirs. So a jar fails if a class file is
 * damaged or for a newer Java, if most of its classes cannot be loaded, or if a driver that it registers cannot be made.
 */
public final class LamellaProbe {
    private static final int CLASSES_MOST = 2000;
    private static final PrintStream OUT = System.out;
    private static String nonce;

    public static void main(String[] arguments) throws IOException {
        nonce = System.getenv("LAMELLA_PROBE_NONCE");
        List<String> jars = Files.readAllLines(Paths.get("/var/task/java.txt"), StandardCharsets.UTF_8);
        for (int index = Integer.parseInt(arguments[0]); index < jars.size(); index++) {
            say(index, "\"event\":\"begin\"");
            String error;
            try {
                error = attempt(jars.get(index));
            } catch (Throwable thrown) {
                error = describe(thrown);
            }
            String outcome = error == null ? "ok" : error.isEmpty() ? "skipped" : "failed";
            say(index, "\"event\":\"end\",\"outcome\":\"" + outcome + "\",\"error\":" + quote(error == null ? "" : error));
        }
        Runtime.getRuntime().halt(0);
    }

    /** What is wrong with a jar; null if nothing is, empty if it holds no classes. */
    private static String attempt(String path) throws IOException {
        ClassLoader loader = LamellaProbe.class.getClassLoader();
        try (JarFile jar = new JarFile(path)) {
            List<String> names = classes(jar);
            if (names.isEmpty()) {
                return "";
            }
            int loaded = 0;
            Throwable first = null;
            int step = Math.max(1, names.size() / CLASSES_MOST);
            for (int at = 0; at < names.size(); at += step) {
                try {
                    Class.forName(names.get(at), false, loader);
                    loaded++;
                } catch (NoClassDefFoundError | ClassNotFoundException absent) {
                    first = first == null ? absent : first;
                } catch (IncompatibleClassChangeError optional) {
                    first = first == null ? optional : first; // of another release of an optional library
                } catch (LinkageError damaged) {
                    return describe(damaged); // UnsupportedClassVersionError, ClassFormatError, VerifyError
                } catch (SecurityException signed) {
                    return describe(signed);
                }
            }
            int tried = (names.size() + step - 1) / step;
            if (loaded * 2 < tried) {
                return describe(first) + " (" + (tried - loaded) + " of " + tried + " classes cannot be loaded)";
            }
            return drivers(jar, loader);
        }
    }

    private static List<String> classes(JarFile jar) {
        List<String> names = new ArrayList<>();
        for (Enumeration<JarEntry> entries = jar.entries(); entries.hasMoreElements();) {
            String name = entries.nextElement().getName();
            // Versions for other releases of Java, and what shaded archives keep for themselves.
            if (name.endsWith(".class") && !name.startsWith("META-INF/") && !name.endsWith("module-info.class")
                    && !name.endsWith("package-info.class")) {
                names.add(name.substring(0, name.length() - 6).replace('/', '.'));
            }
        }
        return names;
    }

    private static String drivers(JarFile jar, ClassLoader loader) throws IOException {
        JarEntry services = jar.getJarEntry("META-INF/services/java.sql.Driver");
        if (services == null) {
            return null;
        }
        byte[] text = new byte[8192];
        int length = 0;
        try (InputStream input = jar.getInputStream(services)) {
            for (int count; length < text.length && (count = input.read(text, length, text.length - length)) > 0;) {
                length += count;
            }
        }
        for (String line : new String(text, 0, length, StandardCharsets.UTF_8).split("\n")) {
            int comment = line.indexOf('#');
            String name = (comment < 0 ? line : line.substring(0, comment)).trim();
            if (!name.isEmpty()) {
                try {
                    Class.forName(name, true, loader).getDeclaredConstructor().newInstance();
                } catch (Throwable thrown) {
                    Throwable cause = thrown.getCause() == null ? thrown : thrown.getCause();
                    return "the JDBC driver " + name + " cannot be made: " + describe(cause);
                }
            }
        }
        return null;
    }

    private static String describe(Throwable thrown) {
        return thrown == null ? "nothing in it can be loaded" : thrown.toString();
    }

    private static void say(int index, String members) {
        byte[] line = ("{\"nonce\":" + quote(nonce) + ",\"index\":" + index + "," + members + "}\n")
                .getBytes(StandardCharsets.UTF_8);
        OUT.write(line, 0, line.length);
        OUT.flush();
    }

    private static String quote(String text) {
        StringBuilder quoted = new StringBuilder("\"");
        for (char letter : text.substring(0, Math.min(text.length(), 1000)).toCharArray()) {
            if (letter == '"' || letter == '\\') {
                quoted.append('\\').append(letter);
            } else if (letter < ' ' || letter > '~') {
                quoted.append(String.format("\\u%04x", (int) letter));
            } else {
                quoted.append(letter);
            }
        }
        return quoted.append('"').toString();
    }
}
