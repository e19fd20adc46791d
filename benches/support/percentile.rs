//! Percentiles of delays.

/// The value that this part of the samples does not exceed; `None` without samples. Their order changes.
pub(crate) fn percentile<T: Ord + Copy>(samples: &mut [T], part: f64) -> Option<T> {
    let last = samples.len().checked_sub(1)?;
    Some(*samples.select_nth_unstable((last as f64 * part) as usize).1)
}
