//! Times, bytes and rates, short enough for a table.

/// A time in its largest unit or two: `45s`, `14m`, `2h5m`, `3d4h`.
pub(super) fn time(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h{}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d{}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// Bytes with three digits: `999B`, `1.2kB`, `45.1MB`.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    let mut shown = bytes as f64;
    let mut unit = 0;
    while shown >= 999.5 && unit + 1 < UNITS.len() {
        shown /= 1000.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && shown < 99.95);
    format!("{shown:.digits$}{}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        assert_eq!([0, 59, 60, 7500, 273_600].map(time), ["0s", "59s", "1m", "2h5m", "3d4h"]);
        let shown = [0, 999, 1000, 45_149_000, 312_000_000, 999_600_000].map(bytes);
        assert_eq!(shown, ["0B", "999B", "1.0kB", "45.1MB", "312MB", "1.0GB"]);
    }
}
