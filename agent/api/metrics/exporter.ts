import type { ExporterReport } from '../types.ts'
import type { TargetNumbers } from './common.ts'
import { buildSample, problemSamples, READY_METRIC, targetSamples } from './common.ts'
import { certificateSamples, meshSamples } from './mesh.ts'
import type { Sample } from './metric.ts'
import { sample } from './metric.ts'

/** What a scrape of an exporter shows; its own etcd goes by the name of its cluster. */
export function exporterSamples(report: ExporterReport): Sample[] {
  const { version, cluster, problems, ready, certificates = [] } = report
  return [
    buildSample(version, cluster.name),
    sample(READY_METRIC, Number(ready), {}),
    ...problemSamples(problems),
    ...certificateSamples(cluster.name, certificates),
  ]
}

/** A clustermesh-apiserver: what it writes. */
export function apiserverSamples(report: ExporterReport, target: TargetNumbers): Sample[] {
  return [...exporterSamples(report), ...targetSamples([{ name: 'etcd', ...target }])]
}

/** A kvstoremesh: what it reads. */
export function kvstoremeshSamples(report: ExporterReport): Sample[] {
  return [...exporterSamples(report), ...meshSamples(report.clusterMesh)]
}
