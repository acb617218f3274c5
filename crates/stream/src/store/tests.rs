use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[test]
fn counts_its_bytes() {
    let mut store = MemoryStore::default();
    store.put("a", b"123");
    store.put("a", b"12");
    store.put("bb", b"");
    assert_eq!((store.len(), store.bytes(), store.get("a")), (2, 5, Some(&b"12"[..])));
    store.remove("a");
    store.remove("a");
    assert_eq!((store.len(), store.bytes(), store.get("a")), (1, 2, None));
}

/// What is done to a store: the key's number, and how long its value is to be; `None` removes it.
type Step = (u16, Option<usize>);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Most lengths near each other, so that slots are shared and pages become full; some beyond the largest slot.
    let length = prop_oneof![6 => 0..40_usize, 6 => 1_500..3_000_usize, 1 => 4_000..9_000_usize];
    let step = (0..80_u16, prop_oneof![3 => length.prop_map(Some), 1 => Just(None)]);
    prop::collection::vec(step, 1..400)
}

/// A value that tells which step wrote it.
fn value(step: usize, length: usize) -> Vec<u8> {
    step.to_le_bytes().into_iter().cycle().take(length).collect()
}

fn all(store: &MemoryStore) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    store.each(&mut |key, bytes| assert_eq!(all.insert(key.to_owned(), bytes.to_vec()), None, "{key} comes twice"));
    all
}

/// The most that the pages of these records may take, as the documentation says.
fn bound(store: &MemoryStore) -> usize {
    let of_record = |key: &str, bytes: &[u8]| {
        let length = 4 + key.len() + bytes.len();
        if length > 4_096 { length } else { (length + length.div_ceil(16)).max(32) }
    };
    let mut bytes = store.records.sizes_in_use() * 64 * 1024;
    store.each(&mut |key, value| bytes += of_record(key, value));
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn it_holds_what_a_plain_map_would_and_no_more_memory_than_it_says(steps in steps()) {
        let (mut store, mut model) = (MemoryStore::default(), BTreeMap::new());
        for (number, (key, length)) in steps.into_iter().enumerate() {
            // Keys of many lengths, the empty one too.
            let key = "k".repeat(usize::from(key % 7) * 30) + &key.to_string()[usize::from(key == 0)..];
            match length {
                Some(length) => {
                    store.put(&key, &value(number, length));
                    model.insert(key.clone(), value(number, length));
                }
                None => {
                    store.remove(&key);
                    model.remove(&key);
                }
            }
            prop_assert_eq!(store.get(&key), model.get(&key).map(Vec::as_slice));
            let bytes: usize = model.iter().map(|(key, value)| key.len() + value.len()).sum();
            prop_assert_eq!((store.len(), store.bytes()), (model.len(), bytes));
            prop_assert!(store.records.taken() <= bound(&store));
        }
        prop_assert_eq!(all(&store), model.clone());
        for key in model.keys() {
            let mut found = 0;
            store.each_with(KeyHash::of(key), &mut |other, _| found += usize::from(other == key));
            prop_assert_eq!(found, 1);
            store.remove(key);
        }
        prop_assert_eq!((store.len(), store.bytes(), store.records.taken()), (0, 0, 0));
    }
}

#[test]
fn states_that_grow_leave_no_holes() {
    let mut store = MemoryStore::default();
    let keys: Vec<String> = (0..4_000).map(|number| format!("v:{number:036}")).collect();
    for length in (100..1_000).step_by(50) {
        for (number, key) in keys.iter().enumerate() {
            store.put(key, &value(number, length + number % 50));
        }
    }
    let (taken, bytes) = (store.records.taken(), store.bytes());
    assert!(taken * 10 < bytes * 11, "{taken} bytes taken for {bytes}");
    assert!(keys.iter().enumerate().all(|(number, key)| store.get(key) == Some(&value(number, 950 + number % 50)[..])));
}

#[test]
fn a_key_with_the_hash_of_another_is_told_from_it() {
    let mut seen = BTreeMap::new();
    let pair = (0_u32..).find_map(|number| {
        let key = format!("lead-{number}");
        seen.insert(KeyHash::of(&key), key.clone()).map(|other| [other, key])
    });
    let pair = pair.expect("of 100,000 keys two have the same hash of 32 bits");
    let mut store = MemoryStore::default();
    store.put(&pair[0], b"one");
    assert_eq!(store.get(&pair[1]), None);
    store.put(&pair[1], b"other");
    let mut with_hash = BTreeMap::new();
    store.each_with(KeyHash::of(&pair[0]), &mut |key, bytes| {
        with_hash.insert(key.to_owned(), bytes.to_vec());
    });
    assert_eq!(with_hash, all(&store));
    store.remove(&pair[0]);
    assert_eq!((store.get(&pair[0]), store.get(&pair[1])), (None, Some(&b"other"[..])));
}
