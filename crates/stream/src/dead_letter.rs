//! What becomes of a record that a processor cannot process: the same letter on every log.

use prost::Message;
use tasuki_domain::{EventId, Timestamp};
use tasuki_wire::{Topic, v1};

use crate::{Emitted, Input, Poison};

/// The dead letter of a record that `service` could not process. Its id derives from where the record stands, so the
/// same failure is the same letter however often it is met. A key that is not UTF-8 is kept whole inside; the letter's
/// own key has replacement characters then.
pub fn dead_letter(service: &str, input: &Input<'_>, poison: &Poison, received_at: Timestamp) -> Emitted {
    let place = format!("dead letter {} {} {}", input.topic, input.partition, input.offset);
    let letter = v1::DeadLetter {
        id: EventId::reported(service, &place).as_bytes().to_vec(),
        service: service.to_owned(),
        kind: v1::DeadLetterKind::Poison.into(),
        code: poison.code.to_owned(),
        message: poison.message.clone(),
        received_at_ms: received_at.as_millis(),
        original: input.payload.to_vec().into(),
        found_at: Some(v1::dead_letter::FoundAt::Log(v1::LogPosition {
            topic: input.topic.name().to_owned(),
            partition: u32::from(input.partition.get()),
            offset: input.offset,
            key: input.key.to_vec(),
        })),
    };
    Emitted {
        topic: Topic::DeadLetters,
        key: String::from_utf8_lossy(input.key).into_owned(),
        payload: letter.encode_to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tasuki_wire::Partition;

    #[test]
    fn a_letter_holds_the_original_and_where_it_stood_and_is_the_same_each_time() {
        let input = Input {
            topic: Topic::Behavior,
            partition: Partition::new(3),
            offset: 17,
            key: b"v:\xff1",
            payload: b"not a message",
        };
        let poison = Poison::new("undecodable", "no such tag");
        let letter = dead_letter("identity", &input, &poison, Timestamp::from_millis(5));
        assert_eq!((letter.topic, letter.key.as_str()), (Topic::DeadLetters, "v:\u{fffd}1"));
        let read = v1::DeadLetter::decode(letter.payload.as_slice()).unwrap();
        assert_eq!(read.id.len(), 16);
        assert_eq!(
            v1::DeadLetter { id: Vec::new(), ..read.clone() },
            v1::DeadLetter {
                id: Vec::new(),
                service: "identity".into(),
                kind: v1::DeadLetterKind::Poison.into(),
                code: "undecodable".into(),
                message: "no such tag".into(),
                received_at_ms: 5,
                original: b"not a message".to_vec().into(),
                found_at: Some(v1::dead_letter::FoundAt::Log(v1::LogPosition {
                    topic: "behavior".into(),
                    partition: 3,
                    offset: 17,
                    key: b"v:\xff1".to_vec(),
                })),
            }
        );
        let again = dead_letter("identity", &input, &poison, Timestamp::from_millis(9));
        assert_eq!(v1::DeadLetter::decode(again.payload.as_slice()).unwrap().id, read.id);
        let elsewhere = dead_letter("identity", &Input { offset: 18, ..input }, &poison, Timestamp::from_millis(5));
        assert_ne!(v1::DeadLetter::decode(elsewhere.payload.as_slice()).unwrap().id, read.id);
    }
}
