package tasuki.peer;

import com.google.protobuf.InvalidProtocolBufferException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.errors.SerializationException;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.LogAndContinueExceptionHandler;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.errors.TaskCorruptedException;
import org.apache.kafka.streams.state.KeyValueBytesStoreSupplier;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import tasuki.v1.Activity.ActivityRecord;

/** Tasuki's scoring service as a Kafka Streams application. */
public final class Scoring {
    private static final Logger LOG = LoggerFactory.getLogger(Scoring.class);
    private static final String USAGE = """
            usage: tasuki.peer.Scoring --bootstrap-servers H:P --application-id ID --input TOPIC --output TOPIC
                   --state-dir DIR --store memory|rocksdb --cache on|off --threads N --playbook FILE
                   [--instance-id ID] [--commit-interval-ms 100]
            """;
    private static final Duration CLOSE_WITHIN = Duration.ofSeconds(7);
    /** Wrong use, and a service that cannot go on, as in sysexits. */
    private static final int EX_USAGE = 64;
    private static final int EX_SOFTWARE = 70;

    private Scoring() {}

    public static void main(String[] args) throws Exception {
        KafkaStreams streams;
        try {
            Arguments arguments = Arguments.parse(args, "bootstrap-servers", "application-id", "input", "output", "state-dir",
                    "store", "cache", "threads", "playbook", "instance-id", "commit-interval-ms");
            Playbook playbook = Playbook.read(Path.of(arguments.text("playbook")));
            streams = new KafkaStreams(topology(arguments, playbook), settings(arguments));
        } catch (IllegalArgumentException | java.io.IOException wrong) {
            System.err.println(wrong + "\n" + USAGE);
            System.exit(EX_USAGE);
            return;
        }
        run(streams);
    }

    private static void run(KafkaStreams streams) throws InterruptedException {
        CountDownLatch ended = new CountDownLatch(1);
        AtomicInteger exit = new AtomicInteger();
        AtomicBoolean ready = new AtomicBoolean();
        streams.setStateListener((now, before) -> {
            if (now == KafkaStreams.State.RUNNING && ready.compareAndSet(false, true)) {
                System.out.println("ready");
                System.out.flush();
            }
            if (now == KafkaStreams.State.ERROR) {
                exit.set(EX_SOFTWARE);
                ended.countDown();
            }
        });
        streams.setUncaughtExceptionHandler(failure -> {
            boolean passes = failure instanceof RetriableException || failure.getCause() instanceof RetriableException
                    || failure instanceof TaskCorruptedException;
            LOG.error(passes ? "a thread is replaced" : "the application stops", failure);
            return passes ? StreamThreadExceptionResponse.REPLACE_THREAD : StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            streams.close(CLOSE_WITHIN);
            ended.countDown();
        }, "close"));
        streams.start();
        ended.await();
        if (exit.get() != 0) {
            System.exit(exit.get());
        }
    }

    static Topology topology(Arguments arguments, Playbook playbook) {
        String store = ScoringProcessor.STORE;
        KeyValueBytesStoreSupplier supplier = switch (arguments.text("store")) {
            case "memory" -> Stores.inMemoryKeyValueStore(store);
            case "rocksdb" -> Stores.persistentKeyValueStore(store);
            default -> throw new IllegalArgumentException("--store is memory or rocksdb");
        };
        StoreBuilder<KeyValueStore<byte[], byte[]>> builder =
                Stores.keyValueStoreBuilder(supplier, Serdes.ByteArray(), Serdes.ByteArray())
                        .withLoggingEnabled(Map.of());
        switch (arguments.text("cache")) {
            case "on" -> builder.withCachingEnabled();
            case "off" -> builder.withCachingDisabled();
            default -> throw new IllegalArgumentException("--cache is on or off");
        }
        Deserializer<byte[]> key = Serdes.ByteArray().deserializer();
        return new Topology()
                .addSource("activity", key, Scoring::activity, arguments.text("input"))
                .addProcessor("scoring", () -> new ScoringProcessor(playbook), "activity")
                .addStateStore(builder, "scoring")
                .addSink("scores", arguments.text("output"), Serdes.ByteArray().serializer(),
                        Serdes.ByteArray().serializer(), "scoring");
    }

    private static ActivityRecord activity(String topic, byte[] bytes) {
        try {
            return ActivityRecord.parseFrom(bytes);
        } catch (InvalidProtocolBufferException unreadable) {
            throw new SerializationException("not an activity record", unreadable);
        }
    }

    private static Properties settings(Arguments arguments) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, arguments.text("application-id"));
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments.text("bootstrap-servers"));
        settings.put(StreamsConfig.STATE_DIR_CONFIG, arguments.text("state-dir"));
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, arguments.number("threads", 1));
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, arguments.number("commit-interval-ms", 100));
        settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        settings.put(StreamsConfig.DESERIALIZATION_EXCEPTION_HANDLER_CLASS_CONFIG, LogAndContinueExceptionHandler.class);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.SESSION_TIMEOUT_MS_CONFIG), 15_000);
        if (arguments.has("instance-id")) {
            settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.GROUP_INSTANCE_ID_CONFIG), arguments.text("instance-id"));
        }
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "lz4");
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 128 * 1024);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 20);
        return settings;
    }
}
