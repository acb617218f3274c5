package tasuki.peer;

import com.google.protobuf.ByteString;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.UUID;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import tasuki.v1.Activity.ActivityRecord;
import tasuki.v1.Activity.AttributeValue;
import tasuki.v1.Activity.BehaviorAttributed;
import tasuki.v1.Activity.BehaviorRetracted;
import tasuki.v1.Activity.Profile;
import tasuki.v1.Activity.ProfileChanged;
import tasuki.v1.Behavior;
import tasuki.v1.Behavior.BehaviorRecord;
import tasuki.v1.Behavior.Circumstances;
import tasuki.v1.MetaOuterClass.Meta;

/**
 * Writes made-up activity of varied leads: profiles, every kind of behavior, also late, repeated, retracted, out of
 * order and missing. The same seed gives the same leads and events, at other times.
 */
public final class Feed {
    private static final long DAY = 86_400_000;
    private static final String[] PATHS = {
        "/", "/product/overview", "/Products", "/pricing", "/pricing/enterprise", "/plans", "/blog/lead-scoring-basics",
        "/docs/getting-started", "/solutions/insurance", "/careers", "/jobs/2231", "/recruit/新卒", "/about", ""
    };
    private static final String[] FORMS = {
        "demo-request", "Request a DEMO now", "デモ申込", "trial", "トライアル申込", "contact", "newsletter", "",
        "資料請求".repeat(60)
    };
    private static final String[] TITLES = {
        "VP Sales", "Director of Marketing", "director", "営業部長", "代表取締役社長", "Sales Manager", "Team Lead", "CTO",
        "Actor", "Intern", "Head of Growth", "ceo/founder", "İstanbul OWNER"
    };
    private static final String[] SIZES = {"250", "1,000", "51-200", "2000", "5000+", "49", "many", " 50.5 ", "1,999"};
    private static final String[] INDUSTRIES = {"Computer Software", "製造業", "Retail", "financial services", "物流", "SaaS"};
    private static final String[] COUNTRIES = {"JP", "Japan", " jp ", "FR", "United Kingdom", "日本", "us"};
    private static final String[] DOMAINS = {"acme.example", "gmail.com", "Yahoo.co.jp", "globex.example", "web.de"};

    private final Random random;
    /** So many in a hundred leads begin long ago, so that time has changed their score by now. */
    private final int oldPercent;
    private final KafkaProducer<byte[], byte[]> producer;
    private final String topic;

    private Feed(long seed, int oldPercent, KafkaProducer<byte[], byte[]> producer, String topic) {
        random = new Random(seed);
        this.oldPercent = oldPercent;
        this.producer = producer;
        this.topic = topic;
    }

    public static void main(String[] args) {
        Arguments arguments = Arguments.parse(args, "bootstrap-servers", "topic", "leads", "events", "seed", "old-percent", "skew");
        Map<String, Object> settings = Map.of("bootstrap.servers", arguments.text("bootstrap-servers"),
                "compression.type", "lz4", "linger.ms", 20, "batch.size", 262_144);
        try (var producer = new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer())) {
            Feed feed = new Feed(arguments.number("seed", 1), arguments.number("old-percent", 30), producer, arguments.text("topic"));
            int events = arguments.number("events", 20_000);
            int sent = feed.run(arguments.number("leads", 1_000), events, arguments.number("skew", 3));
            System.out.println("{\"records\":" + sent + "}");
        }
    }

    /** What has been said of one lead so far. */
    private final class Lead {
        final UUID id = new UUID(random.nextLong(), random.nextLong());
        final byte[] key = id.toString().getBytes(StandardCharsets.US_ASCII);
        final List<BehaviorRecord> done = new ArrayList<>();
        final List<byte[]> sent = new ArrayList<>();
        final boolean isOld = random.nextInt(100) < oldPercent;
        long received = System.currentTimeMillis() - (isOld ? (long) (random.nextDouble() * 300 * DAY) + DAY : 60_000);
        long version;
        Profile profile;
    }

    /** With a skew of 1, all leads do as much; the greater it is, the fewer do most. */
    private int run(int count, int events, int skew) {
        List<Lead> leads = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            leads.add(new Lead());
        }
        for (int i = 0; i < events; i++) {
            next(leads.get((int) (Math.pow(random.nextDouble(), skew) * count)));
        }
        return events;
    }

    private void next(Lead lead) {
        lead.received = Math.min(lead.received + random.nextInt(lead.isOld ? (int) DAY / 4 : 50), System.currentTimeMillis());
        int dice = random.nextInt(100);
        ActivityRecord.Builder record = ActivityRecord.newBuilder();
        if (!lead.sent.isEmpty() && dice < 3) {
            // Repeated, word for word.
            send(lead, lead.sent.get(random.nextInt(lead.sent.size())));
            return;
        }
        if (dice < 5) {
            lead.version++;
        }
        if (lead.profile == null || dice < 10) {
            if (lead.profile == null || random.nextInt(4) > 0) {
                lead.profile = profile();
            }
            record.setProfileChanged(ProfileChanged.newBuilder().setProfile(lead.profile));
        } else if (dice < 14 && !lead.done.isEmpty()) {
            ByteString id = random.nextInt(5) == 0 ? id() : lead.done.get(random.nextInt(lead.done.size())).getMeta().getEventId();
            record.setRetracted(BehaviorRetracted.newBuilder().setBehaviorId(id));
        } else {
            boolean known = dice < 17 && !lead.done.isEmpty();
            BehaviorRecord behavior = known ? lead.done.get(random.nextInt(lead.done.size())) : behavior(lead);
            lead.done.add(behavior);
            record.setAttributed(BehaviorAttributed.newBuilder().setBehavior(behavior).setVia("email"));
        }
        lead.version++;
        ByteString leadId = ByteString.copyFrom(
                ByteBuffer.allocate(16).putLong(lead.id.getMostSignificantBits()).putLong(lead.id.getLeastSignificantBits()).flip());
        record.setMeta(Meta.newBuilder().setEventId(id()).setOccurredAtMs(lead.received).setReceivedAtMs(lead.received)
                .setLeadId(leadId).setVersion(lead.version));
        byte[] bytes = record.build().toByteArray();
        lead.sent.add(bytes);
        send(lead, bytes);
    }

    private void send(Lead lead, byte[] bytes) {
        producer.send(new ProducerRecord<>(topic, lead.key, bytes), (done, failure) -> {
            if (failure != null) {
                failure.printStackTrace();
                Runtime.getRuntime().halt(1);
            }
        });
    }

    private BehaviorRecord behavior(Lead lead) {
        long occurred = lead.received - random.nextInt(2_000);
        int when = random.nextInt(20);
        if (when < 4) {
            occurred = lead.received - (long) (random.nextDouble() * 420 * DAY);
        } else if (when == 4) {
            occurred = lead.received + (long) (random.nextDouble() * 40 * DAY);
        } else if (when == 5) {
            // At the same instant as others: their ids decide.
            occurred = lead.received / 100_000 * 100_000;
        }
        String path = one(PATHS);
        BehaviorRecord.Builder behavior = BehaviorRecord.newBuilder()
                .setMeta(Meta.newBuilder().setEventId(id()).setOccurredAtMs(occurred).setReceivedAtMs(lead.received))
                .setOrigin(Behavior.Origin.newBuilder().setSource(random.nextInt(4) > 0 ? "website" : "app")
                        .setProtocol("segment").setMessageId("ajs-next-" + random.nextLong()).setSentAtMs(lead.received))
                .setIdentifiers(Behavior.Identifiers.newBuilder().setAnonymousId(lead.id.toString()))
                .setCircumstances(Circumstances.newBuilder().setUrl("https://www.vendor.example" + path).setPath(path)
                        .setHost("www.vendor.example").setReferrer("https://search.example/?q=lead+scoring")
                        .setTitle("Vendor - the page at " + path).setLocale("ja-JP").setTimeZone("Asia/Tokyo")
                        .setCampaignName(random.nextInt(5) == 0 ? "spring-2026" : "").setIp("203.0.113.0")
                        .setUserAgent("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0"))
                .setPayloadHash(id());
        switch (random.nextInt(26)) {
            case 0, 1 -> behavior.setFormSubmitted(Behavior.FormSubmitted.newBuilder().setForm(one(FORMS)));
            case 2 -> behavior.setEmailOpened(Behavior.EmailOpened.newBuilder().setEmailName("spring-newsletter"));
            case 3, 4 -> behavior.setEmailClicked(Behavior.EmailClicked.newBuilder().setEmailName("spring-newsletter"));
            case 5, 6 -> behavior.setContentDownloaded(Behavior.ContentDownloaded.newBuilder().setContent("guide.pdf"));
            case 7 -> behavior.setEventAttended(Behavior.EventAttended.newBuilder().setEventName("導入事例ウェビナー"));
            case 8 -> behavior.setSurveyAnswered(Behavior.SurveyAnswered.newBuilder().setSurvey("nps"));
            case 9 -> behavior.setAssessmentCompleted(Behavior.AssessmentCompleted.newBuilder().setAssessment("maturity"));
            case 10 -> behavior.setReferralReceived(Behavior.ReferralReceived.newBuilder().setReferredBy("a partner"));
            case 11 -> behavior.setInquiryReceived(Behavior.InquiryReceived.newBuilder().setChannel("phone"));
            case 12 -> behavior.setLeadIdentified(Behavior.LeadIdentified.getDefaultInstance());
            case 13 -> behavior.setConsentChanged(Behavior.ConsentChanged.newBuilder().setPurpose("contact"));
            case 14 -> behavior.setCustomBehavior(Behavior.CustomBehavior.newBuilder().setName("video-played"));
            default -> behavior.setPageViewed(Behavior.PageViewed.getDefaultInstance());
        }
        return behavior.build();
    }

    private Profile profile() {
        String domain = one(DOMAINS);
        Profile.Builder profile = Profile.newBuilder().setEmail("hanako." + random.nextInt(1_000) + "@" + domain).setAccountId(domain);
        attribute(profile, "company", "Acme Corporation");
        attribute(profile, "country", one(COUNTRIES));
        attribute(profile, "employees", one(SIZES));
        attribute(profile, "industry", one(INDUSTRIES));
        attribute(profile, "name", "Hanako Yamada");
        attribute(profile, "title", one(TITLES));
        return profile.build();
    }

    private void attribute(Profile.Builder profile, String name, String value) {
        if (random.nextInt(5) > 0) {
            profile.putAttributes(name, AttributeValue.newBuilder().setValue(value).setSource("website").setOccurredAtMs(7).build());
        }
    }

    private String one(String[] texts) {
        return texts[random.nextInt(texts.length)];
    }

    private ByteString id() {
        byte[] id = new byte[16];
        random.nextBytes(id);
        return ByteString.copyFrom(id);
    }
}
