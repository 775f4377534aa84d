//! What must hold of the facts of any bytes.
#![allow(dead_code)]
use goodgate::fact::{Fact, Field};
use goodgate::read::facts;
use goodgate::read::window::Window;
use goodgate::relpath::RelPath;
use goodgate::timecode::{FrameRate, Timecode};

/// The whole file through the front door.
pub fn check(name: &str, bytes: &[u8]) {
    let mut file = std::io::Cursor::new(bytes);
    let name = RelPath::new(name).unwrap();
    // Only the budget can stop it: nothing here fails to read.
    if let Ok(said) = facts::of(&mut Window::new(&mut file, bytes.len() as u64), &name) {
        hold(&said.facts);
        assert!(said.xml.len() <= 8 && said.xml.iter().all(|(_, b)| b.len() <= 1 << 20));
    }
}

pub fn hold(facts: &[(Fact, &'static str)]) {
    assert!(facts.len() < 4096);
    for (fact, _) in facts {
        let value = &fact.value;
        assert!(!value.is_empty() && value.len() <= 2000 && !value.chars().any(char::is_control));
        let fits = match fact.field {
            Field::StartTc => match value.split_once('@') {
                Some((tc, rate)) => {
                    let rate = FrameRate::parse(rate).unwrap();
                    Timecode::parse(tc, rate).is_some_and(|t| t.to_string() == tc)
                }
                None => (11..=12).contains(&value.len()),
            },
            Field::Fps | Field::SensorFps => value.contains('/') && FrameRate::parse(value).is_some(),
            Field::Width | Field::Height | Field::Iso | Field::SampleRate | Field::BitDepth => {
                value.parse::<u32>().is_ok_and(|n| n > 0)
            }
            Field::TimeReference => value.parse::<u64>().is_ok(),
            Field::Circled => value == "0" || value == "1",
            Field::Gps => {
                let parts: Vec<f64> = value.split(',').map(|p| p.parse().unwrap()).collect();
                (2..=3).contains(&parts.len()) && parts[0].abs() <= 90.0 && parts[1].abs() <= 180.0
            }
            Field::ShutterAngle => value.parse::<f64>().is_ok_and(|a| a > 0.0 && a <= 360.0),
            Field::FocalLength | Field::FocusDistance => value.parse::<f64>().is_ok_and(|v| v > 0.0),
            Field::Aperture => value.starts_with(['F', 'T']) && value[1..].parse::<f64>().is_ok_and(|v| v > 0.0),
            Field::ShutterSpeed | Field::PixelAspect => value.contains(['/', ':']),
            Field::RecordedAt => value.len() >= 10 && value.as_bytes()[4] == b'-',
            _ => true,
        };
        assert!(fits, "{}={value}", fact.field.name());
    }
}
