//! What is done to the pictures of one output after they were scaled and before they are encoded. The next lane gets
//! them as they were.

use crate::burn::{Burner, Film};
use crate::look::{Grade, Lut, own};
use crate::matrix::Matrix;
use crate::movie::Picture;
use ffmpeg_next::frame;
use goodgate::media::protocol::{Request, rotation};
use goodgate::preset::look::Finish;
use goodgate::preset::{Container, Output};
use goodgate::timecode::{FrameRate, Timecode};
use std::fs::File;
use std::sync::Arc;

/// The looks of a request with their LUTs.
pub struct Looks {
    /// One an output.
    wanted: Vec<Option<Finish>>,
    luts: Vec<Arc<Lut>>,
}

impl Looks {
    pub fn read(request: &Request, files: Vec<File>) -> Result<Self, String> {
        let read = |(shape, file)| Lut::read(shape, file).map(Arc::new);
        let luts: Result<_, _> = request.luts.iter().zip(files).map(read).collect();
        let luts = luts.map_err(|why| format!("a LUT can not be read: {why}"))?;
        Ok(Looks { wanted: request.finishes.clone(), luts })
    }

    /// For the output at this place of the request; `untagged` is the clip's height.
    pub fn of(&self, at: usize, output: Output, picture: &Picture, height: u32) -> Result<Option<Finisher>, String> {
        let still = !matches!(output, Output::Proxy(_));
        let finish = match self.wanted.get(at).and_then(Option::as_ref) {
            // JPEG has its own matrix.
            None if still => &Finish::default(),
            None => return Ok(None),
            Some(finish) => finish,
        };
        let lut = match finish.lut {
            Some(n) => Some(self.luts.get(n).ok_or("a LUT is missing")?.clone()),
            None => None,
        };
        let grade = Grade {
            cdl: finish.cdl,
            lut,
            colour: finish.colour,
            untagged: Matrix::untagged(height),
            threads: picture.threads,
            still,
        };
        // A still is turned already, and MXF can not say that it should be.
        let turns = matches!(output, Output::Proxy(recipe) if recipe.container != Container::Mxf);
        let film = Film {
            turned: picture.display.filter(|_| turns).map_or(0, rotation),
            start: picture.start_tc.as_deref().and_then(|text| Timecode::parse(text, rate(picture)?)),
            rate: picture.rate,
            time_base: picture.time_base,
        };
        let burner = (!finish.lines.is_empty()).then(|| Burner::new(&finish.lines, finish.size_percent, film));
        let grades = still || grade.cdl.is_some() || grade.lut.is_some();
        Ok(Some(Finisher { grade: grades.then_some(grade), burner: burner.transpose()? }))
    }
}

fn rate(picture: &Picture) -> Option<FrameRate> {
    let (num, den) = (picture.rate.numerator(), picture.rate.denominator());
    FrameRate::new(u32::try_from(num).ok()?, u32::try_from(den).ok()?)
}

pub struct Finisher {
    grade: Option<Grade>,
    burner: Option<Burner>,
}

impl Finisher {
    pub fn finish(&mut self, frame: &mut frame::Video) -> Result<(), String> {
        own(frame)?;
        if let Some(grade) = &self.grade {
            grade.apply(frame)?;
        }
        match &mut self.burner {
            Some(burner) => burner.burn(frame),
            None => Ok(()),
        }
    }
}
