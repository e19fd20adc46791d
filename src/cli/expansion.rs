//! How large the values of a file of settings get, whose variables stand for each other: 31 lines that double the one before are 2 GiB.

use std::collections::HashMap;

/// Bytes of all values together.
const MAX_EXPANDED_BYTES: usize = 4 * 1024 * 1024;

/// Bounds on the values of the variables of a file, in their order.
#[derive(Default)]
pub(super) struct Expansion {
    sizes: HashMap<String, usize>,
    total: usize,
}

impl Expansion {
    /// Counts the variables `names`, whose text is `text`; false: with them the values could be too large, and they don't count.
    pub(super) fn add(&mut self, names: &[String], text: &str) -> bool {
        let referred = text.split('$').skip(1).map(|behind| self.size(name(behind)));
        let size = referred.fold(text.len(), usize::saturating_add);
        let total = self.total.saturating_add(size.saturating_mul(names.len()));
        if total > MAX_EXPANDED_BYTES {
            return false;
        }
        self.total = total;
        self.sizes.extend(names.iter().map(|name| (name.clone(), size)));
        true
    }

    /// What stands for a name: the environment counts first, and is perhaps filled from the file.
    fn size(&self, name: &str) -> usize {
        let of_environment = std::env::var_os(name).map_or(0, |value| value.len());
        of_environment.max(self.sizes.get(name).copied().unwrap_or_default())
    }
}

/// The name behind a `$`, with or without braces.
fn name(behind: &str) -> &str {
    match behind.strip_prefix('{') {
        Some(block) => block.split('}').next().unwrap_or_default(),
        None => &behind[..behind.find(|character: char| !character.is_alphanumeric()).unwrap_or(behind.len())],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(expansion: &mut Expansion, name: &str, text: &str) -> bool {
        expansion.add(&[name.to_owned()], text)
    }

    #[test]
    fn a_chain_is_followed_up_to_the_bound() {
        for reference in ["${X}${X}", "$X$X", "\"$X-${X}\""] {
            let mut expansion = Expansion::default();
            let added = (0..64).take_while(|_| add(&mut expansion, "X", &format!("X={reference}"))).count();
            assert!((12..22).contains(&added), "{reference}: {added}");
            assert!(add(&mut expansion, "Y", "Y=1"), "the next line counts on its own");
        }
    }

    #[test]
    fn dollars_that_stand_for_nothing_are_text() {
        let mut expansion = Expansion::default();
        for line in 0..1000 {
            assert!(add(&mut expansion, &format!("X{line}"), "X='$2b$10$abcdefgh$$'"));
        }
        assert!(add(&mut expansion, "Y", "Y=${X1}/${X2}"));
    }
}
