import { AGENT_METRICS } from './agent.ts'
import { COMMON_METRICS, READY_METRIC, TARGET_METRICS } from './common.ts'
import { CERTIFICATE_METRIC, MESH_METRICS } from './mesh.ts'
import type { Metric } from './metric.ts'

const COMMON = [...Object.values(COMMON_METRICS), CERTIFICATE_METRIC]
const TARGET = Object.values(TARGET_METRICS)
const MESH = Object.values(MESH_METRICS)

/** What each program can show, for its documentation; the test that scrapes holds them to it. */
export const CATALOGUE: Readonly<Record<'agent' | 'clustermesh-apiserver' | 'kvstoremesh', readonly Metric[]>> = {
  agent: [...COMMON, ...TARGET, ...Object.values(AGENT_METRICS), ...MESH],
  'clustermesh-apiserver': [...COMMON, READY_METRIC, ...TARGET],
  kvstoremesh: [...COMMON, READY_METRIC, ...MESH],
}
