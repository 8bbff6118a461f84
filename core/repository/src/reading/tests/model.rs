//! Any sequence of reads by any number of readers gives the file's bytes or an error, within the memory, whatever the store does.

use super::*;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    /// Opens another reader of a file.
    Open {
        file: usize,
        access: Access,
    },
    Close {
        reader: usize,
    },
    /// Jumps there and reads.
    Jump {
        reader: usize,
        place: f64,
        length: u64,
    },
    /// Goes on where the last read ended, several reads at once.
    Next {
        reader: usize,
        length: u64,
        at_once: usize,
    },
    Trouble {
        fail_permille: u64,
        short_permille: u64,
    },
    /// Damages or removes what is on disk.
    Vandalize {
        seed: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let access = prop_oneof![Just(Access::Any), Just(Access::Checked), Just(Access::Once)];
    prop_oneof![
        2 => (0..3usize, access).prop_map(|(file, access)| Step::Open { file, access }),
        1 => any::<usize>().prop_map(|reader| Step::Close { reader }),
        4 => (any::<usize>(), 0.0..1.0f64, 1u64..3 << 20)
            .prop_map(|(reader, place, length)| Step::Jump { reader, place, length }),
        8 => (any::<usize>(), 1u64..400_000, 1usize..5)
            .prop_map(|(reader, length, at_once)| Step::Next { reader, length, at_once }),
        1 => (0..300u64, 0..100u64)
            .prop_map(|(fail_permille, short_permille)| Step::Trouble { fail_permille, short_permille }),
        1 => any::<u64>().prop_map(|seed| Step::Vandalize { seed }),
    ]
}

/// Changes a byte of some of the files in the cache, cuts others off, and puts strangers beside them.
fn vandalize(dir: &Path, seed: u64) {
    let mut number = seed;
    for directory in std::fs::read_dir(dir.join("starsnap-blocks-1")).into_iter().flatten().flatten() {
        for entry in std::fs::read_dir(directory.path()).into_iter().flatten().flatten() {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let path = entry.path();
            let Ok(mut bytes) = std::fs::read(&path) else { continue };
            if bytes.is_empty() {
                continue;
            }
            let at = (number >> 8) as usize % bytes.len();
            match number >> 60 {
                0..4 => bytes[at] ^= 1 << (number >> 32 & 7),
                4..6 => bytes.truncate(at),
                6..7 => bytes.push(0),
                _ => continue,
            }
            // It may be gone by now.
            let _ = std::fs::write(&path, bytes);
        }
        if directory.path().is_dir() {
            std::fs::write(directory.path().join("stranger"), "hello").unwrap();
        }
    }
}

async fn run(steps: Vec<Step>, with_disk: bool) {
    let dir = tempfile::tempdir().unwrap();
    let files: Vec<Vec<u8>> = [5 * MIB + 13, MIB, 300].map(bytes).into();
    let store = Faulty::new(&[("0", &files[0]), ("1", &files[1]), ("2", &files[2])]);
    let reading = if with_disk { on_disk(LEAST_MEMORY, dir.path(), 16 << 20) } else { reading(LEAST_MEMORY) };
    let open = |number: usize, access| {
        (reading.open(store.clone(), file(&number.to_string(), &files[number]), access), number, 0u64)
    };
    let mut readers = vec![open(0, Access::Checked)];
    for step in steps {
        match step {
            Step::Open { file, access } if readers.len() < 12 => readers.push(open(file, access)),
            Step::Close { reader } if readers.len() > 1 => drop(readers.swap_remove(reader % readers.len())),
            Step::Trouble { fail_permille, short_permille } => {
                store.trouble(Trouble { fail_permille, short_permille, ..Trouble::default() });
            }
            Step::Vandalize { seed } => vandalize(dir.path(), seed),
            Step::Jump { reader, place, length } => {
                let count = readers.len();
                let (reader, file, at) = &mut readers[reader % count];
                let start = (place * files[*file].len() as f64) as u64;
                let end = (start + length).min(reader.size());
                if let Ok(read) = reader.read(start..end).await {
                    assert!(read == files[*file][start as usize..end as usize], "{start}..{end}");
                }
                *at = end;
            }
            Step::Next { reader, length, at_once } => {
                let count = readers.len();
                let (reader, file, at) = &mut readers[reader % count];
                let size = reader.size();
                let starts = (0..at_once as u64).map(|n| (*at + n * length).min(size));
                let ranges: Vec<_> = starts.map(|start| start..(start + length).min(size)).collect();
                let reads = ranges.iter().rev().map(|range| reader.read(range.clone()));
                for (range, read) in ranges.iter().rev().zip(futures::future::join_all(reads).await) {
                    if let Ok(read) = read {
                        assert!(read == files[*file][range.start as usize..range.end as usize], "{range:?}");
                    }
                }
                *at = (*at + at_once as u64 * length).min(size);
            }
            _ => {}
        }
        let usage = reading.usage();
        assert!(usage.peak <= usage.memory, "{usage:?}");
        assert!(!readers.iter().any(|(reader, ..)| reader.damaged()), "a right file is never called damaged");
    }
    // When the store is well again, so is everything else.
    store.trouble(Trouble::default());
    for (number, data) in files.iter().enumerate() {
        let (reader, ..) = open(number, Access::Checked);
        assert!(super::whole(&reader, 100_000).await.unwrap() == *data);
    }
    drop(readers);
    let used = reading.usage().used;
    assert!(used <= LEAST_MEMORY);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn reads_give_the_files_bytes_or_an_error(steps in proptest::collection::vec(step(), 1..60), with_disk: bool) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(run(steps, with_disk));
    }
}
