package tasuki.peer;

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import java.io.IOException;
import java.time.Duration;
import java.util.TreeSet;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import tasuki.v1.Activity.ActivityRecord;
import tasuki.v1.Activity.Profile;
import tasuki.v1.Behavior.BehaviorRecord;
import tasuki.v1.Behavior.Circumstances;
import tasuki.v1.MetaOuterClass.Meta;

/** Scores leads: activity in, scores out. One instance for each partition. */
final class ScoringProcessor implements Processor<byte[], ActivityRecord, byte[], byte[]> {
    static final String STORE = "scoring-state";

    private static final Logger LOG = LoggerFactory.getLogger(ScoringProcessor.class);
    /** How often deadlines are looked at. */
    private static final Duration LOOK_AT_DEADLINES = Duration.ofMillis(100);
    /**
     * Most deadlines are days ahead. Only those of the next hour are kept in order; once an hour the store is looked
     * through for the next.
     */
    private static final long NEAR = Duration.ofHours(1).toMillis();
    private static final int MOST_DEADLINES = 1_000;
    /** The change is none: the record is not followed by a score. */
    private static final int WITHOUT_EFFECT = 0;

    /** When time alone changes the score of a lead. */
    private record Due(long at, Bytes key) implements Comparable<Due> {
        @Override
        public int compareTo(Due other) {
            int order = Long.compare(at, other.at);
            return order != 0 ? order : key.compareTo(other.key);
        }
    }

    private final Playbook playbook;
    private final LeadState state = new LeadState();
    private final Engagement engagement;
    private final NextChange nextChange;
    private final Fit fit;
    private final ScoreWriter writer;
    private final Ids ids = new Ids();
    /** The deadlines before {@code nearUntil}, and some that do not stand any more: the state says which do. */
    private final TreeSet<Due> deadlines = new TreeSet<>();
    private long nearUntil;
    private ProcessorContext<byte[], byte[]> context;
    private KeyValueStore<byte[], byte[]> store;

    ScoringProcessor(Playbook playbook) {
        this.playbook = playbook;
        engagement = new Engagement(playbook);
        nextChange = new NextChange(engagement);
        fit = new Fit(playbook);
        writer = new ScoreWriter(playbook, engagement);
    }

    @Override
    public void init(ProcessorContext<byte[], byte[]> context) {
        this.context = context;
        store = context.getStateStore(STORE);
        lookThrough(context.currentSystemTimeMs());
        context.schedule(LOOK_AT_DEADLINES, PunctuationType.WALL_CLOCK_TIME, this::fire);
    }

    @Override
    public void process(Record<byte[], ActivityRecord> record) {
        try {
            apply(record.key(), record.value(), record.timestamp());
        } catch (IOException | IllegalArgumentException unreadable) {
            LOG.warn("a record is left out: {}", unreadable.getMessage());
        }
    }

    private void apply(byte[] key, ActivityRecord activity, long timestamp) throws IOException {
        Meta meta = activity.getMeta();
        byte[] cause = id(meta.getEventId());
        byte[] lead = id(meta.getLeadId());
        if (!Ids.isText(key, lead)) {
            throw new InvalidProtocolBufferException("the key of an activity record is the id of its lead");
        }
        state.decode(store.get(key));
        if (meta.getVersion() <= state.seen) {
            return;
        }
        state.seen = meta.getVersion();
        int because = change(activity, meta);
        if (because == WITHOUT_EFFECT) {
            store.put(key, state.encode());
            return;
        }
        state.prune();
        byte[] score = score(because, state.asOf(), cause, cause, lead, meta.getReceivedAtMs());
        store.put(key, state.encode());
        noteDeadline(key);
        context.forward(new Record<>(key, score, timestamp));
    }

    /** Changes the state; says why a score follows, or that none does. */
    private int change(ActivityRecord activity, Meta meta) throws IOException {
        switch (activity.getEventCase()) {
            case ATTRIBUTED -> {
                return attributed(activity.getAttributed().getBehavior());
            }
            case RETRACTED -> {
                byte[] id = id(activity.getRetracted().getBehaviorId());
                int place = state.find((long) Big.LONG.get(id, 0), (long) Big.LONG.get(id, 8));
                if (place < 0) {
                    return WITHOUT_EFFECT;
                }
                state.remove(place);
                return ScoreWriter.BECAUSE_RETRACTION;
            }
            case PROFILE_CHANGED -> {
                Profile profile = activity.getProfileChanged().getProfile();
                if (state.profile != null && profile.equals(Profile.parseFrom(profileBytes()))) {
                    return WITHOUT_EFFECT;
                }
                state.profile = profile.toByteArray();
                state.profileStart = 0;
                state.profileEnd = state.profile.length;
                state.fitBy = 0;
                state.profileReceivedAt = meta.getReceivedAtMs();
                return ScoreWriter.BECAUSE_PROFILE;
            }
            default -> throw new InvalidProtocolBufferException("an event is not set, or not known");
        }
    }

    private ByteString profileBytes() {
        return ByteString.copyFrom(state.profile, state.profileStart, state.profileEnd - state.profileStart);
    }

    private int attributed(BehaviorRecord behavior) throws IOException {
        Meta meta = behavior.getMeta();
        byte[] id = id(meta.getEventId());
        int kind = behavior.getEventCase().getNumber() - BehaviorRecord.PAGE_VIEWED_FIELD_NUMBER + 1;
        if (kind <= 0) {
            throw new InvalidProtocolBufferException("a behavior event is not set, or not known");
        }
        long high = (long) Big.LONG.get(id, 0);
        long low = (long) Big.LONG.get(id, 8);
        if (state.find(high, low) >= 0) {
            return WITHOUT_EFFECT;
        }
        Circumstances around = behavior.getCircumstances();
        int about = state.text(about(behavior));
        int path = state.text(around.getPathBytes());
        int source = state.text(behavior.getOrigin().getSourceBytes());
        int campaign = state.text(around.getCampaignNameBytes());
        int shape = state.shape(kind, about, path, source, campaign);
        state.insert(high, low, meta.getOccurredAtMs(), meta.getReceivedAtMs(), shape);
        return ScoreWriter.BECAUSE_ACTIVITY;
    }

    /** Form, content, event, mail ... */
    private static ByteString about(BehaviorRecord behavior) {
        return switch (behavior.getEventCase()) {
            case PAGE_VIEWED, LEAD_IDENTIFIED, EVENT_NOT_SET -> ByteString.EMPTY;
            case FORM_SUBMITTED -> behavior.getFormSubmitted().getFormBytes();
            case EMAIL_OPENED -> behavior.getEmailOpened().getEmailNameBytes();
            case EMAIL_CLICKED -> behavior.getEmailClicked().getEmailNameBytes();
            case CONTENT_DOWNLOADED -> behavior.getContentDownloaded().getContentBytes();
            case EVENT_ATTENDED -> behavior.getEventAttended().getEventNameBytes();
            case SURVEY_ANSWERED -> behavior.getSurveyAnswered().getSurveyBytes();
            case ASSESSMENT_COMPLETED -> behavior.getAssessmentCompleted().getAssessmentBytes();
            case REFERRAL_RECEIVED -> behavior.getReferralReceived().getReferredByBytes();
            case INQUIRY_RECEIVED -> behavior.getInquiryReceived().getChannelBytes();
            case CONSENT_CHANGED -> behavior.getConsentChanged().getPurposeBytes();
            case CUSTOM_BEHAVIOR -> behavior.getCustomBehavior().getNameBytes();
        };
    }

    /** Scores the state as of an instant, and notes in it when to look again. */
    private byte[] score(int because, long asOf, byte[] followsFrom, byte[] cause, byte[] lead, long receivedAt)
            throws IOException {
        engagement.of(state, asOf);
        fit.of(state);
        state.version++;
        state.nextChangeAt = nextChange.after(writer.shown(engagement.raw(), playbook.engagementCap));
        return writer.write(state, because, ids.derived(followsFrom, 0), cause, lead, receivedAt);
    }

    private void noteDeadline(byte[] key) {
        if (state.nextChangeAt < nearUntil && state.nextChangeAt != LeadState.NONE) {
            deadlines.add(new Due(state.nextChangeAt, Bytes.wrap(key)));
        }
    }

    private void lookThrough(long now) {
        deadlines.clear();
        nearUntil = now + NEAR;
        try (KeyValueIterator<byte[], byte[]> all = store.all()) {
            while (all.hasNext()) {
                KeyValue<byte[], byte[]> entry = all.next();
                long at = LeadState.nextChangeAt(entry.value);
                if (at < nearUntil && at != LeadState.NONE) {
                    deadlines.add(new Due(at, Bytes.wrap(entry.key)));
                }
            }
        }
    }

    /** Scores the leads whose score time alone has changed. */
    private void fire(long now) {
        if (now >= nearUntil) {
            lookThrough(now);
        }
        for (int fired = 0; fired < MOST_DEADLINES && !deadlines.isEmpty() && deadlines.first().at <= now; fired++) {
            Due due = deadlines.pollFirst();
            byte[] key = due.key.get();
            state.decode(store.get(key));
            if (state.nextChangeAt != due.at) {
                continue;
            }
            byte[] cause = ids.due(due.at, key);
            byte[] followsFrom = ids.derived(cause, (int) Math.min(state.version, 0xffff_ffffL));
            try {
                byte[] score = score(ScoreWriter.BECAUSE_TIME, due.at, followsFrom, cause, Ids.parse(key), due.at);
                store.put(key, state.encode());
                noteDeadline(key);
                context.forward(new Record<>(key, score, due.at));
            } catch (IOException impossible) {
                throw new IllegalStateException("a state that was written cannot be read", impossible);
            }
        }
    }

    private static byte[] id(ByteString bytes) throws InvalidProtocolBufferException {
        if (bytes.size() != 16) {
            throw new InvalidProtocolBufferException("an id has 16 bytes");
        }
        return bytes.toByteArray();
    }
}
