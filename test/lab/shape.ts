import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { LabError } from './errors.ts'
import type { LabPaths } from './paths.ts'
import { DEFAULT_SHAPE, MOST_CLUSTERS, topologyFor, type Shape, type Topology } from './topology.ts'

/**
 * The shape of a lab is kept in its directory from before its first host starts until it is gone, so that every command,
 * and one that clears up after an `up` that was cut off, means the same hosts.
 */
const shapeFile = (lab: LabPaths): string => path.join(lab.state, 'shape.json')

/** The shape of the lab as it was built; undefined when there is none. */
export function readShape(lab: LabPaths): Shape | undefined {
  if (!existsSync(shapeFile(lab))) return undefined
  return JSON.parse(readFileSync(shapeFile(lab), 'utf8')) as Shape
}

export function writeShape(lab: LabPaths, shape: Shape): void {
  writeFileSync(shapeFile(lab), JSON.stringify(shape))
}

export function topologyOf(lab: LabPaths): Topology {
  return topologyFor(readShape(lab) ?? DEFAULT_SHAPE)
}

/** Reads `--clusters`. @throws LabError bad-cluster-count */
export function clusterCount(text: string): number {
  const count = Number(text)
  if (Number.isInteger(count) && count >= 2 && count <= MOST_CLUSTERS) return count
  throw new LabError('bad-cluster-count', `a lab cannot have ${JSON.stringify(text)} clusters`, {
    hint: `--clusters takes 2 to ${String(MOST_CLUSTERS)}`,
  })
}

/** How a person asks for a shape. */
export function describeShape(shape: Shape): string {
  return `${String(shape.clusters)} clusters${shape.kvstoremesh ? ', with kvstoremesh' : ''}`
}

/** The `--name` that commands need for this lab. */
export function nameFlag(lab: LabPaths): string {
  return lab.name === 'lab' ? '' : ` --name ${lab.name}`
}
