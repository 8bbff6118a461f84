//! Sentences about what is wrong, in bounded number: a damaged repository has as many faults as files.

/// As many of a kind as a person reads.
const MOST: usize = 20;

/// Sentences of one kind.
#[derive(Debug, Default)]
pub(super) struct Problems {
    sentences: Vec<String>,
    more: usize,
}

impl Problems {
    /// Adds a sentence, or counts it.
    pub(super) fn add(&mut self, sentence: impl FnOnce() -> String) {
        if self.keeps() {
            self.sentences.push(sentence());
        } else {
            self.more += 1;
        }
    }

    /// True while sentences are kept; afterwards they are only counted.
    pub(super) fn keeps(&self) -> bool {
        self.sentences.len() < MOST
    }

    /// How many there were.
    pub(super) fn count(&self) -> usize {
        self.sentences.len() + self.more
    }
}

impl From<Problems> for Vec<String> {
    fn from(problems: Problems) -> Vec<String> {
        let mut sentences = problems.sentences;
        if problems.more > 0 {
            sentences.push(format!("… and {} more of this kind", problems.more));
        }
        sentences
    }
}
