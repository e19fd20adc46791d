//! Copies the rows of an operator's list from behind the lock of a gateway.

/// All rows, in parts of `most` rows. `part` takes the lock, and returns the first rows after a number, with the numbers of each; between two
/// parts the events of the gateway go on.
pub fn in_parts<R>(most: usize, part: impl Fn(u64) -> Vec<(u64, R)>) -> Vec<R> {
    let (mut rows, mut last) = (Vec::new(), 0);
    loop {
        let part = part(last);
        let is_last = part.len() < most;
        last = part.last().map_or(last, |(number, _)| *number);
        rows.extend(part.into_iter().map(|(_, row)| row));
        if is_last {
            return rows;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_have_each_row_once() {
        for count in [0, 1, 3, 4, 6, 7] {
            let part = |last: u64| (last + 1..=count).take(3).map(|number| (number, number)).collect();
            assert_eq!(in_parts(3, part), (1..=count).collect::<Vec<_>>());
        }
    }
}
