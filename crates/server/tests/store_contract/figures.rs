//! The figures of what became of attempts: added to, summed up, forgotten.

#![expect(clippy::unwrap_used, reason = "a broken story fails its test")]

use countersign::config::Grade;
use countersign::store::{
    FigureKey, FigureQuery, FigureRow, FigureSum, Figures, FiguresBy, Period,
};
use engine::{Channel, Timestamp};

use crate::bench::{Bench, NOON, everything_before};

pub(crate) async fn figures_of_several_nodes_add_up(mut bench: Bench) {
    for _ in 0..3 {
        add(&bench, Period::Hour, NOON, &[("a", "GB", 2), ("b", "GB", 1)]).await;
        bench.reopen();
    }
    let sums = summed(&bench, FiguresBy::Link, false).await;
    assert_eq!(told(&sums), [("a", 6), ("b", 3)]);
    let figures = sums.first().unwrap().figures;
    assert_eq!((figures.delivered, figures.converted, figures.waits.iter().sum()), (6, 6, 6_u64));
}

pub(crate) async fn figures_are_summed_up_by_what_is_asked_for(bench: Bench) {
    let later = NOON.after(Period::Hour.length());
    add(&bench, Period::Hour, NOON, &[("a", "GB", 2), ("a", "DE", 1)]).await;
    add(&bench, Period::Hour, later, &[("a", "GB", 4), ("b", "DE", 2)]).await;
    add(&bench, Period::Hour, NOON.before(Period::Hour.length()), &[("a", "GB", 64)]).await;
    add(&bench, Period::Day, NOON, &[("a", "GB", 128)]).await;
    assert_eq!(told(&summed(&bench, FiguresBy::Country, false).await), [("GB", 6), ("DE", 3)]);
    assert_eq!(told(&summed(&bench, FiguresBy::Link, false).await), [("a", 7), ("b", 2)]);
    assert_eq!(told(&summed(&bench, FiguresBy::Route, false).await), [("main", 9)]);
    assert_eq!(told(&summed(&bench, FiguresBy::Network, false).await), [("23415", 9)]);
    let by = [FiguresBy::Route, FiguresBy::Link, FiguresBy::Country];
    let together = [("main/a/GB", 6), ("main/b/DE", 2), ("main/a/DE", 1)];
    assert_eq!(told(&summed_by(&bench, &by, false).await), together);
    let each = summed(&bench, FiguresBy::Country, true).await;
    assert_eq!(told(&each), [("GB", 4), ("DE", 2), ("GB", 2), ("DE", 1)], "the newest first");
    assert_eq!(each.first().unwrap().at, Some(later));
}

pub(crate) async fn old_figures_are_purged_each_in_its_time(bench: Bench) {
    for period in Period::ALL {
        add(&bench, period, NOON, &[("a", "GB", 1)]).await;
    }
    let after = NOON.after(Period::Minute.length());
    let mut retention = everything_before(NOON);
    retention.figures_before = [after, NOON, NOON];
    assert_eq!(bench.store().purge(retention, 100).await.unwrap(), 1, "only the minute is old");
    assert_eq!(told(&summed(&bench, FiguresBy::Link, false).await), [("a", 1)]);
    retention.figures_before = [after, after, NOON];
    assert_eq!(bench.store().purge(retention, 100).await.unwrap(), 1);
    assert!(summed(&bench, FiguresBy::Link, false).await.is_empty());
}

async fn add(bench: &Bench, period: Period, at: Timestamp, rows: &[(&str, &str, u64)]) {
    let row = |&(link, country, count): &(&str, &str, u64)| FigureRow {
        period,
        at,
        key: FigureKey {
            route: "main".to_owned(),
            link: link.to_owned(),
            channel: Channel::Sms,
            country: country.to_owned(),
            network: "23415".to_owned(),
            grade: Grade::Handset,
        },
        figures: Figures {
            attempts: count,
            delivered: count,
            converted: count,
            waits: std::array::from_fn(|bucket| if bucket == 3 { count } else { 0 }),
            ..Figures::default()
        },
    };
    bench.store().add_figures(rows.iter().map(row).collect()).await.unwrap();
}

async fn summed(bench: &Bench, by: FiguresBy, each: bool) -> Vec<FigureSum> {
    summed_by(bench, &[by], each).await
}

async fn summed_by(bench: &Bench, by: &[FiguresBy], each: bool) -> Vec<FigureSum> {
    let by = by.to_vec();
    let query = FigureQuery { period: Period::Hour, by, each, since: NOON, limit: 100 };
    bench.store().figures(query).await.unwrap()
}

fn told(sums: &[FigureSum]) -> Vec<(&str, u64)> {
    sums.iter().map(|sum| (sum.name.as_str(), sum.figures.attempts)).collect()
}
