import { Counter, Gauge, Registry } from 'prom-client'

/** What a number is, by the conventions of Prometheus: base units in the name, `_total` for what only grows. */
export interface Metric<L extends string = string> {
  readonly name: string
  readonly type: 'gauge' | 'counter'
  readonly help: string
  readonly labels: readonly L[]
}

export interface Sample {
  readonly metric: Metric
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

export function gauge<L extends string = never>(name: string, help: string, ...labels: L[]): Metric<L> {
  return { name, type: 'gauge', help, labels }
}

export function counter<L extends string = never>(name: string, help: string, ...labels: L[]): Metric<L> {
  return { name, type: 'counter', help, labels }
}

export function sample<L extends string>(
  metric: Metric<L>,
  value: number,
  labels: Readonly<Record<L, string>>,
): Sample {
  return { metric, value, labels }
}

export const CONTENT_TYPE = Registry.PROMETHEUS_CONTENT_TYPE

/**
 * The text format of Prometheus. Metrics live as long as the call: whatever a scrape shows was read for it, and what is no
 * longer there is no longer shown.
 */
export function exposition(samples: Iterable<Sample>): Promise<string> {
  const registry = new Registry()
  const known = new Map<string, Counter | Gauge>()
  for (const { metric, labels, value } of samples) {
    let series = known.get(metric.name)
    if (series === undefined) {
      const { name, help, labels: labelNames } = metric
      const options = { name, help, labelNames, registers: [registry] }
      known.set(name, (series = metric.type === 'gauge' ? new Gauge(options) : new Counter(options)))
    }
    if (series instanceof Gauge) series.set(labels, value)
    else series.inc(labels, value)
  }
  return registry.metrics()
}
