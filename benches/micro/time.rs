//! The parts by the clock.

use criterion::Criterion;

mod work;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for part in work::PARTS {
        let place = tempfile::tempdir().expect("a folder");
        let mut round = (part.make)(place.path());
        criterion.bench_function(part.name, |bencher| bencher.iter(&mut round));
    }
    criterion.final_summary();
}
