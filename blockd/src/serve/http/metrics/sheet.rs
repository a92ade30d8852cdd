//! Writes figures as metrics.

use std::fmt;

use blockd_nbd::server::{BOUNDS, Times};
use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeMetric, NoLabelSet},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};

/// A name without prefix and unit, and what it means.
type Title = (&'static str, &'static str);

/// The metrics that are being written.
#[derive(Debug)]
pub(super) struct Sheet<'a> {
    encoder: DescriptorEncoder<'a>,
}

impl<'a> Sheet<'a> {
    pub(super) fn new(encoder: DescriptorEncoder<'a>) -> Self {
        Self { encoder }
    }

    /// A number that rises and falls.
    pub(super) fn gauge(
        &mut self,
        name: &str,
        help: &str,
        value: impl EncodeGaugeValue,
    ) -> fmt::Result {
        self.plain(name, help, None, &ConstGauge::new(value))
    }

    /// The same in bytes.
    pub(super) fn bytes(
        &mut self,
        name: &str,
        help: &str,
        value: impl EncodeGaugeValue,
    ) -> fmt::Result {
        let value = ConstGauge::new(value);
        self.plain(name, help, Some(&Unit::Bytes), &value)
    }

    /// A time in seconds.
    pub(super) fn seconds(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        self.plain(name, help, Some(&Unit::Seconds), &ConstGauge::new(value))
    }

    /// A number that only rises.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.plain(name, help, None, &ConstCounter::new(value))
    }

    /// The same in bytes.
    pub(super) fn bytes_counted(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.plain(name, help, Some(&Unit::Bytes), &ConstCounter::new(value))
    }

    fn plain(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        value: &impl EncodeMetric,
    ) -> fmt::Result {
        let kind = value.metric_type();
        value.encode(self.encoder.encode_descriptor(name, help, unit, kind)?)
    }

    /// Numbers that rise and fall, by the value of a label.
    pub(super) fn labelled<N: EncodeGaugeValue>(
        &mut self,
        (name, help): Title,
        (label, values): (&'static str, &[(&'static str, N)]),
    ) -> fmt::Result {
        let kind = MetricType::Gauge;
        let mut family = self.encoder.encode_descriptor(name, help, None, kind)?;
        for (value, number) in values {
            let of_value = [(label, *value)];
            family.encode_family(&of_value)?.encode_gauge(number)?;
        }
        Ok(())
    }

    /// Numbers that only rise, by the value of a label.
    pub(super) fn counters(
        &mut self,
        (name, help): Title,
        (label, values): (&'static str, &[(&'static str, u64)]),
    ) -> fmt::Result {
        let kind = MetricType::Counter;
        let mut family = self.encoder.encode_descriptor(name, help, None, kind)?;
        for (value, number) in values {
            let of_value = [(label, *value)];
            family
                .encode_family(&of_value)?
                .encode_counter::<NoLabelSet, _, u64>(number, None)?;
        }
        Ok(())
    }

    /// Durations, by the value of a label.
    pub(super) fn histograms(
        &mut self,
        (name, help): Title,
        (label, values): (&'static str, &[(&'static str, Times)]),
    ) -> fmt::Result {
        let kind = MetricType::Histogram;
        let unit = Some(&Unit::Seconds);
        let mut family = self.encoder.encode_descriptor(name, help, unit, kind)?;
        for (value, times) in values {
            let bounds = BOUNDS.iter().map(std::time::Duration::as_secs_f64);
            let mut buckets: Vec<_> = bounds.zip(times.buckets).collect();
            buckets.push((f64::INFINITY, times.longer));
            let of_value = [(label, *value)];
            family
                .encode_family(&of_value)?
                .encode_histogram::<NoLabelSet>(
                    times.sum.as_secs_f64(),
                    times.count(),
                    &buckets,
                    None,
                )?;
        }
        Ok(())
    }
}
