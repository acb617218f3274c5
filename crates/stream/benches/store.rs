//! The store of a worker's states with a million keys: values of 700 bytes on average that grow, read and written at random.
//! Beside it, in the same run, the plain store that one writes first: a map with an allocation for each key and each value.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rustc_hash::FxHashMap;
use tasuki_stream::{Lookup, MemoryStore, StateStore};

type Group<'b> = BenchmarkGroup<'b, WallTime>;

const KEYS: usize = 1_000_000;
/// Of a worker.
const PARTITIONS: usize = 16;
/// How much a value grows at a time: as a parked event or a signal makes it.
const GROWTH: usize = 40;
/// How often each value has grown before anything is measured: then values have 500 to 900 bytes.
const ROUNDS: usize = 12;

/// What is compared.
trait Store: Default {
    fn set(&mut self, key: &str, bytes: &[u8]);
    fn bytes_of(&self, key: &str) -> &[u8];
}

#[derive(Default)]
struct Plain(FxHashMap<Arc<str>, Box<[u8]>>);

impl Store for Plain {
    fn set(&mut self, key: &str, bytes: &[u8]) {
        match self.0.get_mut(key) {
            Some(value) => *value = bytes.into(),
            None => {
                self.0.insert(key.into(), bytes.into());
            }
        }
    }

    fn bytes_of(&self, key: &str) -> &[u8] {
        &self.0[key]
    }
}

impl Store for MemoryStore {
    fn set(&mut self, key: &str, bytes: &[u8]) {
        self.put(key, bytes);
    }

    fn bytes_of(&self, key: &str) -> &[u8] {
        self.get(key).expect("it was put")
    }
}

fn key(number: usize) -> String {
    let scattered = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("v:{scattered:016x}-4f0c-8d11-{:012x}", number.wrapping_mul(0x2545_f491))
}

/// Values of a round: each key's has another length.
fn length(number: usize, round: usize) -> usize {
    20 + number % 400 + GROWTH * round
}

struct Partitions<S>(Vec<S>, Vec<usize>);

impl<S: Store> Partitions<S> {
    fn filled(keys: &[String], bytes: &[u8]) -> Self {
        let mut stores = Self((0..PARTITIONS).map(|_| S::default()).collect(), vec![ROUNDS; keys.len()]);
        for round in 0..=ROUNDS {
            for (number, key) in keys.iter().enumerate() {
                stores.0[number % PARTITIONS].set(key, &bytes[..length(number, round)]);
            }
        }
        stores
    }
}

/// The key of each step, at random but the same for all.
fn steps(times: u64) -> impl Iterator<Item = usize> {
    let mut seed = 1_u64;
    (0..times).map(move |_| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).expect("31 bits") % KEYS
    })
}

fn filled<S: Store>(name: &str, keys: &[String], bytes: &[u8]) -> Partitions<S> {
    let (before, begun) = (resident(), worked());
    let stores = Partitions::filled(keys, bytes);
    eprintln!(
        "{name}: filled by {} puts in {:.1} CPU-seconds; {} bytes resident of each key, {} of them key and value",
        (ROUNDS + 1) * KEYS,
        (worked() - begun).as_secs_f64(),
        (resident() - before) / KEYS,
        (0..KEYS).map(|number| length(number, ROUNDS) + keys[number].len()).sum::<usize>() / KEYS,
    );
    stores
}

fn get<S: Store>(group: &mut Group<'_>, name: &str, keys: &[String], stores: &Partitions<S>) {
    group.bench_function(BenchmarkId::new("get", name), |bencher| {
        bencher.iter_custom(|times| {
            let begun = worked();
            for number in steps(times) {
                black_box(stores.0[number % PARTITIONS].bytes_of(&keys[number]).iter().step_by(64).max());
            }
            worked() - begun
        });
    });
}

fn put<S: Store>(group: &mut Group<'_>, name: &str, keys: &[String], bytes: &[u8], stores: &mut Partitions<S>) {
    group.bench_function(BenchmarkId::new("put", name), |bencher| {
        bencher.iter_custom(|times| {
            let begun = worked();
            for number in steps(times) {
                // Grows, and begins again once it has doubled.
                let round = &mut stores.1[number];
                *round = if *round < 2 * ROUNDS { *round + 1 } else { ROUNDS };
                stores.0[number % PARTITIONS].set(&keys[number], &bytes[..length(number, *round)]);
            }
            worked() - begun
        });
    });
}

/// How long this thread has had the processor: what runs beside it does not count.
fn worked() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells of this thread");
    let nanoseconds = told.split(' ').next().and_then(|text| text.parse().ok());
    Duration::from_nanos(nanoseconds.expect("first comes the time on the processor"))
}

/// Of this process, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells of this process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells what is resident");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1024
}

fn store(criterion: &mut Criterion) {
    let bytes: Vec<u8> = (0..200_u8).cycle().take(64 * 1024).collect();
    let keys: Vec<String> = (0..KEYS).map(key).collect();
    let mut slots = filled::<MemoryStore>("slots", &keys, &bytes);
    let mut map = filled::<Plain>("map", &keys, &bytes);
    let mut group = criterion.benchmark_group("store");
    group.measurement_time(Duration::from_secs(4)).warm_up_time(Duration::from_secs(1)).sample_size(20);
    group.throughput(Throughput::Elements(1));
    get(&mut group, "slots", &keys, &slots);
    get(&mut group, "map", &keys, &map);
    put(&mut group, "slots", &keys, &bytes, &mut slots);
    put(&mut group, "map", &keys, &bytes, &mut map);
    group.finish();
}

criterion_group!(benches, store);
criterion_main!(benches);
