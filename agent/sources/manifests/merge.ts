import type { BackendSet } from '../../types/backend.ts'
import type { Node, Pod } from '../../types/node.ts'
import type { Problem } from '../../types/problem.ts'
import type { Service } from '../../types/service.ts'
import { backendsFromPods, PodIndex } from '../objects/pod-endpoints.ts'
import type { Row } from './kinds.ts'
import type { ParsedFile } from './parse.ts'

/** The row of an object, and the file it was read from. */
export interface Held {
  readonly row: Row
  readonly file: string
}

/** What the directory says, by object key. */
export type Holdings = ReadonlyMap<string, Held>

export interface Merged {
  readonly holdings: Holdings
  /** By file name, for every file that was read. */
  readonly problems: ReadonlyMap<string, readonly Problem[]>
}

/**
 * Puts files together, in order of name. The first file that has an object decides it. An object that is refused keeps
 * its last good row; a file that is faulty, or `withheld` (it could not be read, or was there a moment ago), keeps the rows
 * of all its objects that no other file has taken over.
 */
export function mergeFiles(files: readonly ParsedFile[], withheld: ReadonlySet<string>, last: Holdings): Merged {
  const holdings = new Map<string, Held>()
  const claims = new Map<string, string>()
  const problems = new Map<string, readonly Problem[]>()
  const keeping = new Set(withheld)
  const ordered = [...files].sort((a, b) => (a.name < b.name ? -1 : 1))
  for (const file of ordered) {
    const complaints = [...file.problems]
    if (file.faulty) keeping.add(file.name)
    for (const object of file.objects) {
      const first = claims.get(object.key)
      if (first !== undefined) {
        complaints.push(duplicate(object.key, object.place, first))
        continue
      }
      claims.set(object.key, object.place)
      complaints.push(...object.problems)
      if (object.row !== undefined) holdings.set(object.key, { row: object.row, file: file.name })
      else if (object.problems.length > 0) keep(object.key, file.name)
    }
    problems.set(file.name, complaints)
  }
  for (const [key, held] of last) if (!claims.has(key) && keeping.has(held.file)) holdings.set(key, held)
  return { holdings, problems }

  function keep(key: string, file: string): void {
    const held = last.get(key)
    if (held !== undefined) holdings.set(key, { row: held.row, file })
  }
}

/** Rows of all tables, by primary key. */
export interface Rows {
  readonly services: Map<string, Service>
  readonly backends: Map<string, BackendSet>
  readonly nodes: Map<string, Node>
  readonly pods: Map<string, Pod>
}

export function emptyRows(): Rows {
  return { services: new Map(), backends: new Map(), nodes: new Map(), pods: new Map() }
}

/** All rows that follow from the objects: their own, and the endpoints of services that have a selector and no slice. */
export function rowsOf(holdings: Holdings, cluster: string): Rows {
  const rows = emptyRows()
  for (const { row } of holdings.values()) {
    if (row.table === 'services') rows.services.set(row.row.name, row.row)
    else if (row.table === 'backends') rows.backends.set(row.row.key, row.row)
    else if (row.table === 'nodes') rows.nodes.set(row.row.key, row.row)
    else rows.pods.set(row.row.key, row.row)
  }
  const sliced = new Set<string>([...rows.backends.values()].map((set) => set.service))
  const pods = new PodIndex(rows.pods.values())
  const zoneOf = (nodeName: string): string | undefined => rows.nodes.get(`${cluster}/${nodeName}`)?.zone
  for (const service of rows.services.values()) {
    if (sliced.has(service.name) || Object.keys(service.selector).length === 0) continue
    const set = backendsFromPods(service, pods, cluster, zoneOf)
    rows.backends.set(set.key, set)
  }
  return rows
}

function duplicate(key: string, place: string, first: string): Problem {
  return {
    code: 'duplicate-object',
    message: `${place}: ${key} is already in ${first}, which is the one in use`,
    hint: `Remove one of the two: this one, or the one in ${first}.`,
  }
}
