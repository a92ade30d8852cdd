//! Roman numerals, to check the puzzle's solution.

const DIGITS: [(u32, &str); 13] = [
    (1000, "M"),
    (900, "CM"),
    (500, "D"),
    (400, "CD"),
    (100, "C"),
    (90, "XC"),
    (50, "L"),
    (40, "XL"),
    (10, "X"),
    (9, "IX"),
    (5, "V"),
    (4, "IV"),
    (1, "I"),
];

/// A number from 1 to 3999 as a Roman numeral.
pub(super) fn roman(mut number: u32) -> String {
    let mut numeral = String::new();
    for (value, digit) in DIGITS {
        while number >= value {
            numeral.push_str(digit);
            number -= value;
        }
    }
    numeral
}

#[cfg(test)]
mod tests {
    use super::roman;

    #[test]
    fn numerals() {
        for (number, numeral) in [(1, "I"), (4, "IV"), (1994, "MCMXCIV"), (3999, "MMMCMXCIX")] {
            assert_eq!(roman(number), numeral);
        }
    }
}
