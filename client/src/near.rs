//! Names that somebody may have meant.

/// How many are offered.
const NEAR_MAX: usize = 5;

/// The names nearest to a wrong one: those that hold it or lie in it, and those a few letters away.
pub(crate) fn names(wanted: &str, all: &[String]) -> Vec<String> {
    let lower = wanted.to_lowercase();
    let most = (wanted.chars().count() / 3).max(2);
    let mut near: Vec<(usize, &String)> = all
        .iter()
        .filter_map(|name| {
            let other = name.to_lowercase();
            if !lower.is_empty() && (other.contains(&lower) || lower.contains(&other)) {
                return Some((0, name));
            }
            let far = distance(&lower, &other);
            (far <= most).then_some((far, name))
        })
        .collect();
    near.sort();
    near.dedup();
    near.into_iter()
        .take(NEAR_MAX)
        .map(|(_, name)| name.clone())
        .collect()
}

/// Letters to change, add or take away.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut corner = i;
        let mut before = i + 1;
        let mut next = vec![before];
        for (right, above) in b.iter().zip(row.iter().skip(1)) {
            let value = (corner + usize::from(left != *right))
                .min(before + 1)
                .min(above + 1);
            corner = *above;
            before = value;
            next.push(value);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_offered_far_ones_not() {
        let all = ["web", "webhook", "database", "cache"].map(str::to_owned);
        assert_eq!(names("wbe", &all), ["web"]);
        assert_eq!(names("we", &all), ["web", "webhook"]);
        assert_eq!(names("databsae", &all), ["database"]);
        assert!(names("zzzzzzzz", &all).is_empty());
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "ab"), 2);
    }
}
