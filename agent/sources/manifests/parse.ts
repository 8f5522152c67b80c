import type { Problem } from '../../types/problem.ts'
import type { Path } from '../objects/fields.ts'
import { formatPath, show } from '../objects/fields.ts'
import type { Chunk, ParsedText, ParsedValue } from './documents.ts'
import { parseText, splitDocuments } from './documents.ts'
import type { Row } from './kinds.ts'
import { isPassedOver, KINDS, SUPPORTED } from './kinds.ts'

/** An object of a supported kind, as one file has it. */
export interface ManifestObject {
  /** `Service default/webpod`, `Node west-worker`: who it is, wherever it stands. */
  readonly key: string
  /** `services.yaml:12`. */
  readonly place: string
  /** Undefined when it was refused, or is not for us. */
  readonly row: Row | undefined
  /** Why it was refused; empty otherwise. */
  readonly problems: readonly Problem[]
}

export interface ParsedFile {
  readonly name: string
  readonly objects: readonly ManifestObject[]
  /** Problems that belong to no object. */
  readonly problems: readonly Problem[]
  /**
   * Something in it was refused or is not readable, so it may hold objects that do not show: none of its earlier objects
   * may be taken for deleted.
   */
  readonly faulty: boolean
}

interface ChunkResult {
  readonly linesBefore: number
  readonly file: string
  readonly objects: readonly ManifestObject[]
  readonly problems: readonly Problem[]
  readonly faulty: boolean
}

/** What is remembered of the last version of a file: its rows. What the parser made of its text is not kept. */
interface KnownFile {
  readonly text: string
  readonly parsed: ParsedFile
  /** By the text of the document. */
  readonly results: ReadonlyMap<string, ChunkResult>
}

/**
 * Turns the text of manifest files into rows. A file that has not changed since the last call is the same object as before, and
 * documents that have not changed in one that has are not read again: their rows are the same objects as before.
 */
export class ManifestParser {
  readonly #cluster: string
  readonly #known = new Map<string, KnownFile>()

  constructor(cluster: string) {
    this.#cluster = cluster
  }

  /** `pause` is awaited now and then, so that a large file does not hold up everything else. */
  async parse(name: string, text: string, pause: () => Promise<void>): Promise<ParsedFile> {
    if (text.trim() === '') return { name, objects: [], problems: [emptyFile(name)], faulty: true }
    const last = this.#known.get(name)
    if (last?.text === text) return last.parsed
    const results = new Map<string, ChunkResult>()
    const ordered: ChunkResult[] = []
    let fresh = 0
    for (const chunk of splitDocuments(text)) {
      const known = results.get(chunk.text) ?? last?.results.get(chunk.text)
      let result = known === undefined ? undefined : inPlace(known, chunk)
      if (result === undefined) {
        result = this.#convert(name, chunk, parseText(chunk.text))
        if (++fresh % 50 === 0) await pause()
      }
      results.set(chunk.text, result)
      ordered.push(result)
    }
    const parsed = {
      name,
      objects: ordered.flatMap((result) => result.objects),
      problems: ordered.flatMap((result) => result.problems),
      faulty: ordered.some((result) => result.faulty),
    }
    this.#known.set(name, { text, parsed, results })
    return parsed
  }

  forget(name: string): void {
    this.#known.delete(name)
  }

  #convert(file: string, chunk: Chunk, parsed: ParsedText): ChunkResult {
    const { linesBefore } = chunk
    const placeOf = (line: number): string => `${file}:${linesBefore + line}`
    if ('failures' in parsed) {
      return { linesBefore, file, objects: [], problems: [malformed(parsed.failures, placeOf)], faulty: true }
    }
    const objects: ManifestObject[] = []
    const problems: Problem[] = []
    let faulty = false
    const read = (value: unknown, source: ParsedValue, base: Path): void => {
      const outcome = readObject(value, (path) => placeOf(source.lineOf([...base, ...path])), this.#cluster)
      if (outcome === undefined) return
      if ('key' in outcome) objects.push(outcome)
      else problems.push(outcome.problem)
      faulty ||= 'key' in outcome ? outcome.problems.length > 0 : outcome.faulty
    }
    for (const source of parsed.values) {
      const items = listItems(source.value)
      if (items === undefined) read(source.value, source, [])
      else items.forEach((item, i) => read(item, source, ['items', i]))
    }
    return { linesBefore, file, objects, problems, faulty }
  }
}

/** The same document, wherever its lines are now. Undefined when it has to be read again: its problems name lines. */
function inPlace(known: ChunkResult, { linesBefore }: Chunk): ChunkResult | undefined {
  if (known.linesBefore === linesBefore) return known
  if (known.problems.length > 0 || known.objects.some(complains)) return undefined
  const { file } = known
  const objects = known.objects.map(({ key, place, row, problems }) => {
    const origin = `${file}:${Number(place.slice(file.length + 1)) + linesBefore - known.linesBefore}`
    const moved = row === undefined ? undefined : ({ table: row.table, row: { ...row.row, origin } } as Row)
    return { key, place: origin, row: moved, problems }
  })
  return { ...known, linesBefore, objects }
}

function complains({ row, problems }: ManifestObject): boolean {
  return problems.length > 0 || (row?.table === 'services' && row.row.problems.length > 0)
}

type Outcome = ManifestObject | { readonly problem: Problem; readonly faulty: boolean } | undefined

/** Undefined for an object that is passed over. */
function readObject(value: unknown, placeOf: (path: Path) => string, cluster: string): Outcome {
  const place = placeOf([])
  if (!isMapping(value) || typeof value['kind'] !== 'string' || typeof value['apiVersion'] !== 'string') {
    const problem = {
      code: 'manifest-malformed',
      message: `${place}: ${isMapping(value) ? 'an object without apiVersion or kind' : `${show(value)} is not a Kubernetes object`}`,
      hint: 'Every document needs apiVersion, kind and metadata.name. Until then nothing from this file is removed.',
    }
    return { problem, faulty: true }
  }
  const { kind, apiVersion } = value
  const entry = KINDS.find((known) => known.kind === kind && known.apiVersion === apiVersion)
  const metadata = isMapping(value['metadata']) ? value['metadata'] : {}
  if (entry === undefined) {
    if (isPassedOver(apiVersion, kind)) return undefined
    return { problem: unsupported(place, apiVersion, kind), faulty: metadata['name'] === undefined }
  }

  const namespace = entry.namespaced ? `${plain(metadata['namespace'] ?? 'default')}/` : ''
  const key = `${kind} ${namespace}${plain(metadata['name'])}`
  const converted = entry.convert(value, { cluster, origin: place })
  if (!('refused' in converted))
    return { key, place, row: 'row' in converted ? converted.row : undefined, problems: [] }
  const problems = converted.refused.map((fault) => ({
    code: 'manifest-refused',
    message: `${placeOf(fault.path)}: ${key}: ${formatPath(fault.path)}: ${fault.message}`,
    hint: `${fault.hint} The object is refused until then; a good version read before stays in use.`,
  }))
  return { key, place, row: undefined, problems }
}

/** The elements of a `List` (or `ServiceList`, …); undefined for any other object. */
function listItems(value: unknown): readonly unknown[] | undefined {
  if (!isMapping(value) || typeof value['kind'] !== 'string' || !/^([A-Z]\w*)?List$/.test(value['kind']))
    return undefined
  return Array.isArray(value['items']) ? value['items'] : undefined
}

function malformed(failures: readonly { line: number; message: string }[], placeOf: (line: number) => string): Problem {
  const [first] = failures
  const more = failures.length > 1 ? ` (and ${failures.length - 1} more)` : ''
  return {
    code: 'manifest-malformed',
    message: `${placeOf(first?.line ?? 1)}: not valid YAML: ${first?.message}${more}`,
    hint: 'Correct this document. Until then what was read from the file before stays in use and nothing from it is removed.',
  }
}

function unsupported(place: string, apiVersion: string, kind: string): Problem {
  const near = KINDS.find((known) => known.kind.toLowerCase() === kind.toLowerCase())
  const advice =
    near === undefined ? '' : `For a ${near.kind} write kind: ${near.kind}, apiVersion: ${near.apiVersion}. `
  return {
    code: 'unsupported-kind',
    message: `${place}: kind ${show(kind)} of ${show(apiVersion)} is not supported here`,
    hint: `${advice}Supported: ${SUPPORTED}. Remove the object from the directory if it is not needed.`,
  }
}

function emptyFile(name: string): Problem {
  return {
    code: 'manifest-empty',
    message: `${name}: the file is empty; what was read from it before stays in use`,
    hint: 'Delete the file to remove its objects, or write them again.',
  }
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function plain(value: unknown): string {
  return typeof value === 'string' ? value : show(value)
}
