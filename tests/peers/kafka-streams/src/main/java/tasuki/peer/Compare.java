package tasuki.peer;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.google.protobuf.InvalidProtocolBufferException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeSet;
import java.util.function.Function;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import tasuki.v1.Scores.Contribution;
import tasuki.v1.Scores.LeadScored;
import tasuki.v1.Scores.ScoreRecord;

/**
 * Compares two topics of scores: the last score of each lead. Reads what is committed, to the end; with
 * {@code --within-seconds}, reads on until both say the same, or nothing more came for so long.
 *
 * <p>Exit codes: 0 the same, 1 not, 64 wrong use.
 */
public final class Compare {
    private static final int MOST_LISTED = 20;
    /** Instants of the next change may differ by so many milliseconds: they are found by halving. */
    private static final long TOLERANCE_MS = 1;

    private record Field(String name, Function<LeadScored, Object> of) {}

    /** What must be the same; of contributions and evidence, everything. */
    private static final List<Field> FIELDS = List.of(
            new Field("playbook_version", LeadScored::getPlaybookVersion),
            new Field("as_of_ms", LeadScored::getAsOfMs),
            new Field("engagement_mp", LeadScored::getEngagementMp),
            new Field("fit_mp", LeadScored::getFitMp),
            new Field("grade", LeadScored::getGrade),
            new Field("contributions", LeadScored::getContributionsList),
            new Field("evidence", LeadScored::getEvidence),
            new Field("facts", LeadScored::getFactsList),
            new Field("profile", LeadScored::getProfile),
            new Field("has_profile", LeadScored::hasProfile),
            new Field("signals", LeadScored::getSignals),
            new Field("because", LeadScored::getBecause));

    /** One of the topics, as far as it was read. */
    private static final class Side implements AutoCloseable {
        final KafkaConsumer<byte[], byte[]> consumer;
        final List<TopicPartition> partitions;
        final Map<String, byte[]> last = new HashMap<>();
        long records;

        Side(String servers, String topic) {
            Map<String, Object> settings = Map.of("bootstrap.servers", servers, "isolation.level", "read_committed",
                    "auto.offset.reset", "earliest", "enable.auto.commit", false, "max.poll.records", 5_000);
            consumer = new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
            partitions = consumer.partitionsFor(topic).stream()
                    .map(info -> new TopicPartition(topic, info.partition())).toList();
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
        }

        /** Says whether there was anything new. */
        boolean readToEnd() {
            long before = records;
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            do {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(200))) {
                    last.put(new String(record.key(), StandardCharsets.UTF_8), record.value());
                    records++;
                }
            } while (ends.entrySet().stream().anyMatch(end -> consumer.position(end.getKey()) < end.getValue()));
            return records > before;
        }

        @Override
        public void close() {
            consumer.close();
        }
    }

    private final ObjectMapper json = new ObjectMapper();

    private Compare() {}

    public static void main(String[] args) throws Exception {
        Arguments arguments;
        try {
            arguments = Arguments.parse(args, "bootstrap-servers", "left", "right", "within-seconds");
            arguments.text("left");
        } catch (IllegalArgumentException wrong) {
            System.err.println(wrong.getMessage()
                    + "\nusage: tasuki.peer.Compare --bootstrap-servers H:P --left TOPIC --right TOPIC [--within-seconds N]");
            System.exit(64);
            return;
        }
        long patience = arguments.number("within-seconds", 0) * 1_000_000_000L;
        long until = System.nanoTime() + patience;
        ObjectNode said;
        String servers = arguments.text("bootstrap-servers");
        try (Side left = new Side(servers, arguments.text("left")); Side right = new Side(servers, arguments.text("right"))) {
            do {
                if (left.readToEnd() | right.readToEnd()) {
                    until = System.nanoTime() + patience;
                }
                said = new Compare().compare(left, right);
            } while ((said.path("leads").asInt() == 0 || said.path("different").asInt() > 0) && System.nanoTime() < until);
        }
        System.out.println(said);
        System.exit(said.path("different").asInt() == 0 ? 0 : 1);
    }

    private ObjectNode compare(Side left, Side right) throws InvalidProtocolBufferException {
        TreeSet<String> leads = new TreeSet<>(left.last.keySet());
        leads.addAll(right.last.keySet());
        ObjectNode said = json.createObjectNode();
        said.put("leads", leads.size());
        said.put("left_records", left.records).put("right_records", right.records);
        ArrayNode listed = json.createArrayNode();
        int different = 0;
        int sameIds = 0;
        for (String lead : leads) {
            ObjectNode difference = difference(left.last.get(lead), right.last.get(lead));
            if (difference == null) {
                sameIds += sameId(left.last.get(lead), right.last.get(lead)) ? 1 : 0;
            } else {
                different++;
                if (listed.size() < MOST_LISTED) {
                    listed.add(difference.put("lead", lead));
                }
            }
        }
        // Versions and ids differ where a deadline fired earlier on one side than on the other: no fault, but of interest.
        said.put("same_event_id", sameIds);
        said.put("different", different);
        said.set("differences", listed);
        return said;
    }

    private static boolean sameId(byte[] left, byte[] right) throws InvalidProtocolBufferException {
        return ScoreRecord.parseFrom(left).getMeta().equals(ScoreRecord.parseFrom(right).getMeta());
    }

    private ObjectNode difference(byte[] left, byte[] right) throws InvalidProtocolBufferException {
        ObjectNode difference = json.createObjectNode();
        if (left == null || right == null) {
            return difference.put("missing", left == null ? "left" : "right");
        }
        LeadScored a = ScoreRecord.parseFrom(left).getScored();
        LeadScored b = ScoreRecord.parseFrom(right).getScored();
        for (Field field : FIELDS) {
            Object one = field.of.apply(a);
            Object other = field.of.apply(b);
            if (!Objects.equals(one, other)) {
                difference.putArray(field.name).add(words(one)).add(words(other));
            }
        }
        long apart = Math.abs(a.getNextChangeAtMs() - b.getNextChangeAtMs());
        if (apart > TOLERANCE_MS) {
            difference.putArray("next_change_at_ms").add(a.getNextChangeAtMs()).add(b.getNextChangeAtMs());
        }
        return difference.isEmpty() ? null : difference;
    }

    /** As text; of contributions only what a person compares first. */
    private static String words(Object value) {
        if (value instanceof List<?> list && !list.isEmpty() && list.get(0) instanceof Contribution) {
            StringBuilder words = new StringBuilder();
            for (Object each : list) {
                Contribution c = (Contribution) each;
                words.append(c.getAxis()).append(' ').append(c.getRule()).append(' ').append(c.getPointsMp()).append('/')
                        .append(c.getRawMp()).append(" x").append(c.getMatches()).append(" #")
                        .append(HexFormat.of().toHexDigits(c.hashCode())).append("; ");
            }
            return words.toString();
        }
        return String.valueOf(value);
    }
}
