package tasuki.peer;

import java.util.Arrays;
import java.util.Map;
import java.util.Optional;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;

/** Makes topics, for {@code check}. */
public final class Topics {
    private Topics() {}

    public static void main(String[] args) throws Exception {
        Arguments arguments = Arguments.parse(args, "bootstrap-servers", "partitions", "topics");
        int partitions = arguments.number("partitions", 4);
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", arguments.text("bootstrap-servers")))) {
            admin.createTopics(Arrays.stream(arguments.text("topics").split(","))
                    .map(topic -> new NewTopic(topic, Optional.of(partitions), Optional.empty())).toList()).all().get();
        }
    }
}
