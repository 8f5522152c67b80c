import type { Document, Tags } from 'yaml'
import { LineCounter, isNode, parseAllDocuments } from 'yaml'
import type { Path } from '../objects/fields.ts'

/** One YAML or JSON value of a file, and where its parts stand. */
export interface ParsedValue {
  readonly value: unknown
  /** Line of the place `path` leads to, or of the deepest part of it that exists; 1 is the first line of the text. */
  lineOf(path: Path): number
}

export interface ParseFailure {
  readonly line: number
  readonly message: string
}

/** The values of one text, in order; or the places where it is not YAML. A text with a failure has no values. */
export type ParsedText = { readonly values: readonly ParsedValue[] } | { readonly failures: readonly ParseFailure[] }

/** One text between document markers, with its place in the file. */
export interface Chunk {
  readonly text: string
  /** Lines of the file before it. */
  readonly linesBefore: number
}

/**
 * Cuts a file at its `---` lines, which cannot stand at the start of a line inside any YAML value. So a fault in one
 * document leaves the others readable, and a change to one document costs the parsing of that one. Files with directives
 * (`%YAML`) stay whole.
 */
export function splitDocuments(text: string): Chunk[] {
  if (/^%/m.test(text)) return [{ text, linesBefore: 0 }]
  const chunks: Chunk[] = []
  let from = 0
  let linesBefore = 0
  const cut = (to: number): void => {
    const part = text.slice(from, to)
    chunks.push({ text: part, linesBefore })
    linesBefore += countLines(part)
    from = to
  }
  for (const marker of text.matchAll(/^---(?=\s|$)/gm)) if (marker.index > from) cut(marker.index)
  cut(text.length)
  return chunks
}

/**
 * Reads a text as Kubernetes does: YAML 1.1, dates and 1:30 stay strings, JSON is YAML. Texts that are JSON take the
 * runtime's own parser, many times as fast; their lines are worked out only when somebody asks.
 */
export function parseText(text: string): ParsedText {
  if (/^\s*(---\s)?\s*\{/.test(text)) {
    const json = parseJson(text.replace(/^\s*---/, (marker) => ' '.repeat(marker.length)))
    if (json !== undefined) return { values: [json] }
  }
  return parseYaml(text)
}

function parseYaml(text: string): ParsedText {
  const lines = new LineCounter()
  const documents = parseAllDocuments(text, {
    version: '1.1',
    customTags: withoutTimes,
    lineCounter: lines,
    prettyErrors: false,
  }) as Document[]
  const failures: ParseFailure[] = []
  const values: ParsedValue[] = []
  for (const document of documents) {
    for (const error of document.errors) {
      failures.push({ line: lines.linePos(error.pos[0]).line, message: error.message })
    }
    if (document.errors.length > 0) continue
    try {
      const value: unknown = document.toJS()
      const lineOf = (path: Path): number => lines.linePos(offsetOf(document, path)).line
      if (value !== null) values.push({ value, lineOf })
    } catch (error) {
      // Aliases that lead nowhere or multiply without end.
      failures.push({ line: 1, message: (error as Error).message })
    }
  }
  return failures.length > 0 ? { failures } : { values }
}

/** As the API server reads them: dates and base-60 numbers are strings. */
function withoutTimes(tags: Tags): Tags {
  return tags.filter(
    (tag) =>
      typeof tag === 'string' ||
      (tag.tag !== 'tag:yaml.org,2002:timestamp' && !('format' in tag && tag.format === 'TIME')),
  )
}

/** The value at `path`, else the nearest one above it. */
function offsetOf(document: Document, path: Path): number {
  for (let length = path.length; length >= 0; length--) {
    const node: unknown = length === 0 ? document.contents : document.getIn(path.slice(0, length), true)
    if (isNode(node) && node.range) return node.range[0]
  }
  return 0
}

function parseJson(text: string): ParsedValue | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    // Not JSON: the YAML parser decides, and says where it is wrong.
    return undefined
  }
  let starts: Starts | undefined
  return {
    value,
    lineOf(path) {
      starts ??= objectStarts(text)
      const [first, second] = path
      if (path.length <= 2) return (first === 'items' ? starts.items[Number(second)] : undefined) ?? starts.root
      const yaml = parseYaml(text)
      return 'values' in yaml ? (yaml.values[0]?.lineOf(path) ?? 1) : 1
    },
  }
}

interface Starts {
  readonly root: number
  /** Lines where the elements of a list directly under the root start. */
  readonly items: readonly number[]
}

/** Lines where the braces of a JSON text open that matter: `{ "items": [ {…}, {…} ] }`. */
function objectStarts(text: string): Starts {
  let line = 1
  let depth = 0
  let root = 1
  let inList = false
  const items: number[] = []
  for (let i = 0; i < text.length; i++) {
    const char = text.charCodeAt(i)
    if (char === 0x0a) line++
    else if (char === 0x22) {
      while (++i < text.length && text.charCodeAt(i) !== 0x22) if (text.charCodeAt(i) === 0x5c) i++
    } else if (char === 0x7b || char === 0x5b) {
      depth++
      if (depth === 1) root = line
      else if (depth === 2) inList = char === 0x5b
      else if (depth === 3 && inList && char === 0x7b) items.push(line)
    } else if (char === 0x7d || char === 0x5d) depth--
  }
  return { root, items }
}

function countLines(text: string): number {
  let lines = 0
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) lines++
  return lines
}
