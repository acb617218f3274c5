//! Compiles `proto/` with a protobuf compiler written in Rust, so that no `protoc` has to be installed.

use std::path::Path;

use prost::Message;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new("../../proto");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(root.join("tasuki/v1"))? {
        files.push(entry?.path());
    }
    files.sort();
    let descriptors = protox::compile(&files, [root])?;
    // The tests compare golden files with the messages as they are described, not as they are generated.
    std::fs::write(Path::new(&std::env::var("OUT_DIR")?).join("descriptors.bin"), descriptors.encode_to_vec())?;
    prost_build::Config::new()
        // Sorted, so that the same message always has the same bytes.
        .btree_map(["."])
        .bytes([".tasuki.v1.DeadLetter.original"])
        .compile_fds(descriptors)?;
    Ok(())
}
