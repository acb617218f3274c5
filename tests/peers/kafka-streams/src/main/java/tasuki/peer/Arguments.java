package tasuki.peer;

import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** A command line of {@code --name value} pairs. */
final class Arguments {
    private final Map<String, String> values = new HashMap<>();

    private Arguments() {}

    static Arguments parse(String[] args, String... allowed) {
        Arguments arguments = new Arguments();
        for (int i = 0; i < args.length; i += 2) {
            String name = args[i].startsWith("--") ? args[i].substring(2) : "";
            if (!List.of(allowed).contains(name)) {
                throw new IllegalArgumentException("no such argument: " + args[i]);
            }
            if (i + 1 == args.length) {
                throw new IllegalArgumentException(args[i] + " needs a value");
            }
            arguments.values.put(name, args[i + 1]);
        }
        return arguments;
    }

    boolean has(String name) {
        return values.containsKey(name);
    }

    String text(String name) {
        String value = values.get(name);
        if (value == null) {
            throw new IllegalArgumentException("--" + name + " is needed");
        }
        return value;
    }

    int number(String name, int otherwise) {
        String value = values.get(name);
        return value == null ? otherwise : Integer.parseInt(value);
    }
}
