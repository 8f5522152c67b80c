import { readFileSync } from 'node:fs'
import path from 'node:path'
import { parseAllDocuments, stringify } from 'yaml'
import type { Holdings, Rows } from '../../agent/sources/manifests/merge.ts'
import type { Writer } from '../../agent/state/writer.ts'
import { applyRows } from '../../agent/sources/manifests/apply.ts'
import { emptyRows, mergeFiles, rowsOf } from '../../agent/sources/manifests/merge.ts'
import { ManifestParser } from '../../agent/sources/manifests/parse.ts'

const FILE = 'objects.yaml'
const OBJECTS = path.resolve('test/scenario/objects')

type KubernetesObject = Readonly<Record<string, unknown>>

/** The own cluster as a directory of manifests with one file: parsed, merged and written as the manifest source does. */
export class LocalCluster {
  readonly #name: string
  readonly #objects = new Map<string, KubernetesObject>()
  #parser: ManifestParser
  #holdings: Holdings = new Map()
  #rows: Rows = emptyRows()

  constructor(name: string) {
    this.#name = name
    this.#parser = new ManifestParser(name)
  }

  /** Objects, or names of files in `objects/`. */
  apply(objects: readonly (string | KubernetesObject)[]): void {
    for (const object of objects) {
      if (typeof object !== 'string') this.#objects.set(keyOf(object), object)
      else this.apply(readObjects(object))
    }
  }

  /** RFC 7396: null removes a field, lists are replaced. */
  patch(key: string, patch: KubernetesObject): void {
    this.#objects.set(key, merge(this.#known(key), patch) as KubernetesObject)
  }

  delete(keys: readonly string[]): void {
    for (const key of keys) {
      this.#known(key)
      this.#objects.delete(key)
    }
  }

  /** Brings the tables in step with the objects. */
  async deliver(writer: Writer): Promise<void> {
    const text = [...this.#objects.values()].map((object) => `---\n${stringify(object)}`).join('')
    const parsed = text === '' ? [] : [await this.#parser.parse(FILE, text, () => Promise.resolve())]
    const merged = mergeFiles(parsed, new Set(), this.#holdings)
    const rows = rowsOf(merged.holdings, this.#name)
    applyRows(writer, this.#rows, rows)
    writer.setProblems(`manifests/${FILE}`, merged.problems.get(FILE) ?? [])
    this.#holdings = merged.holdings
    this.#rows = rows
  }

  /** A new process has read nothing yet. */
  forget(): void {
    this.#parser = new ManifestParser(this.#name)
    this.#holdings = new Map()
    this.#rows = emptyRows()
  }

  #known(key: string): KubernetesObject {
    const object = this.#objects.get(key)
    if (object === undefined) throw new Error(`there is no ${key}; there are: ${[...this.#objects.keys()].join(', ')}`)
    return object
  }
}

function readObjects(file: string): KubernetesObject[] {
  const documents = parseAllDocuments(readFileSync(path.join(OBJECTS, file), 'utf8'))
  return documents.map((document) => document.toJS() as KubernetesObject)
}

/** `Service default/webpod`, `Node west-worker`: as messages of the agent name objects. */
function keyOf(object: KubernetesObject): string {
  const { name, namespace } = object['metadata'] as { name?: string; namespace?: string }
  const kind = String(object['kind'])
  return kind === 'Node' ? `Node ${name}` : `${kind} ${namespace ?? 'default'}/${name}`
}

function merge(target: unknown, patch: unknown): unknown {
  if (!isMapping(patch)) return patch
  const result: Record<string, unknown> = isMapping(target) ? { ...target } : {}
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key]
    else result[key] = merge(result[key], value)
  }
  return result
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
