import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { isMap, parseAllDocuments, type Document } from 'yaml'
import { admitService, setDeep } from './admission.ts'
import { LabError } from './errors.ts'
import { apiserverDir } from './daemons.ts'
import { writeHostsFile } from './names.ts'
import { hostDir, storeDir, type LabPaths } from './paths.ts'
import { topologyOf } from './shape.ts'
import { clusterNamed, type ClusterSpec } from './topology.ts'

/**
 * The manifests of a cluster: one object per file, named after the object, in the directory of every node and of the
 * mesh API server. Applying an object again replaces its file by a rename, whatever file it came from, so a reader never
 * sees the object twice, half or gone.
 */

export function findCluster(lab: LabPaths, name: string): ClusterSpec {
  return clusterNamed(topologyOf(lab), name)
}

/** Every directory a cluster's objects are kept in; the store is the first. */
export function manifestDirs(lab: LabPaths, cluster: ClusterSpec): string[] {
  const nodes = cluster.nodes.map((node) => path.join(hostDir(lab, node.name), 'manifests'))
  return [storeDir(lab, cluster.name), ...nodes, path.join(apiserverDir(lab, cluster), 'manifests')]
}

/** Writes one file into every directory of the cluster, complete or not at all. */
export function put(lab: LabPaths, cluster: ClusterSpec, file: string, text: string): void {
  for (const dir of manifestDirs(lab, cluster)) {
    mkdirSync(dir, { recursive: true })
    const temporary = `${dir}.${file}.${String(process.pid)}` // beside the directory: a watcher of it sees the rename only
    writeFileSync(temporary, text)
    renameSync(temporary, path.join(dir, file))
  }
}

export function drop(lab: LabPaths, cluster: ClusterSpec, file: string): boolean {
  const found = existsSync(path.join(storeDir(lab, cluster.name), file))
  for (const dir of manifestDirs(lab, cluster)) rmSync(path.join(dir, file), { force: true })
  return found
}

interface Item {
  /** `service/webpod`, or the file's own name where it was not understood. */
  readonly label: string
  readonly file: string
  readonly text: string
}

/**
 * Splits a manifest into objects. A file that cannot be split cleanly (a syntax error, an object without kind or name,
 * the same object twice) is passed on as it is, under its own name: refusing it with a good message is the agent's work.
 */
export function split(file: string, text: string, cluster: ClusterSpec): Item[] {
  const whole: Item[] = [{ label: path.basename(file), file: path.basename(file), text }]
  const documents = parseAllDocuments(text, { version: '1.1' })
  if (!Array.isArray(documents)) return []
  const items: Item[] = []
  for (const doc of documents) {
    if (doc.errors.length > 0) return whole
    if (doc.contents === null) continue
    const id = identify(doc)
    if (id === undefined || items.some((item) => item.file === id.file)) return whole
    if (id.kind === 'service') admitService(doc, cluster)
    items.push({ label: `${id.kind}/${id.name}`, file: id.file, text: doc.toString() })
  }
  return items
}

interface Identity {
  readonly kind: string
  readonly name: string
  readonly file: string
}

function identify(doc: Document): Identity | undefined {
  if (!isMap(doc.contents)) return undefined
  const kind: unknown = doc.get('kind')
  const name: unknown = doc.getIn(['metadata', 'name'])
  const namespace: unknown = doc.getIn(['metadata', 'namespace']) ?? 'default'
  if (typeof kind !== 'string' || typeof name !== 'string' || typeof namespace !== 'string') return undefined
  const file = objectFile(kind, name, namespace)
  return /^[\w.-]+$/.test(file) ? { kind: kind.toLowerCase(), name, file } : undefined
}

export function objectFile(kind: string, name: string, namespace = 'default'): string {
  return kind.toLowerCase() === 'node' ? `node-${name}.yaml` : `${kind.toLowerCase()}-${namespace}-${name}.yaml`
}

/** Applies manifest files to a cluster; returns what was configured, as labels. */
export function apply(lab: LabPaths, cluster: ClusterSpec, files: readonly string[]): string[] {
  const items = files.flatMap((file) => split(file, read(file), cluster))
  for (const item of items) put(lab, cluster, item.file, item.text)
  writeHostsFile(lab, cluster)
  return items.map((item) => item.label)
}

/** Removes the objects that manifest files name (a file that is gone by now is taken by its name alone). */
export function remove(lab: LabPaths, cluster: ClusterSpec, files: readonly string[]): string[] {
  const items = files.flatMap((file) =>
    existsSync(file) ? split(file, read(file), cluster) : [{ label: file, file: path.basename(file), text: '' }],
  )
  const gone = items.filter((item) => drop(lab, cluster, item.file))
  writeHostsFile(lab, cluster)
  return gone.map((item) => item.label)
}

/** Sets (`key=value`) or removes (`key-`) annotations of an object that was applied: `service/webpod`. */
export function annotate(lab: LabPaths, cluster: ClusterSpec, object: string, changes: readonly string[]): void {
  const [kind = '', name = ''] = object.split('/', 2)
  const file = objectFile(kind, name)
  const stored = path.join(storeDir(lab, cluster.name), file)
  if (!existsSync(stored)) {
    throw new LabError('no-such-object', `${object} is not in ${cluster.name}`, {
      hint: `lab apply ${cluster.name} FILE first`,
    })
  }
  const [doc] = parseAllDocuments(readFileSync(stored, 'utf8'), { version: '1.1' })
  if (doc === undefined || !('setIn' in doc)) throw new LabError('unreadable-object', `${stored} holds no object`)
  for (const change of changes) {
    const [key = '', ...rest] = change.split('=')
    if (rest.length === 0 && key.endsWith('-')) doc.deleteIn(['metadata', 'annotations', key.slice(0, -1)])
    else setDeep(doc, ['metadata', 'annotations', key], rest.join('='))
  }
  put(lab, cluster, file, doc.toString())
}

/** The names of the files in a cluster's store. */
export function stored(lab: LabPaths, cluster: ClusterSpec): string[] {
  const dir = storeDir(lab, cluster.name)
  return existsSync(dir) ? readdirSync(dir).sort() : []
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new LabError('unreadable-file', `${file} cannot be read`, { cause: error })
  }
}
