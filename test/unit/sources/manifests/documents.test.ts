import { describe, expect, it } from 'vitest'
import { parseText, splitDocuments } from '../../../../agent/sources/manifests/documents.ts'
import type { ParsedValue } from '../../../../agent/sources/manifests/documents.ts'

function valuesOf(text: string): readonly ParsedValue[] {
  const parsed = parseText(text)
  if ('values' in parsed) return parsed.values
  throw new Error(JSON.stringify(parsed.failures))
}

describe('splitDocuments', () => {
  it('cuts at document markers and counts lines', () => {
    expect(splitDocuments('a: 1\n---\nb: 2\n---\nc: 3\n')).toEqual([
      { text: 'a: 1\n', linesBefore: 0 },
      { text: '---\nb: 2\n', linesBefore: 1 },
      { text: '---\nc: 3\n', linesBefore: 3 },
    ])
  })

  it.each(['--- # first\na: 1\n', 'a: |\n  ---\n  b\n', 'a: ---x\n', '---x: 1\n'])('does not cut %j', (text) => {
    expect(splitDocuments(text)).toEqual([{ text, linesBefore: 0 }])
  })

  it('loses nothing', () => {
    const text = '---\r\na: 1\r\n---\r\n...\n---\n'
    expect(
      splitDocuments(text)
        .map((chunk) => chunk.text)
        .join(''),
    ).toBe(text)
  })

  it('leaves a file with directives whole', () => {
    const text = '%YAML 1.1\n---\na: 1\n---\nb: 2\n'
    expect(splitDocuments(text)).toHaveLength(1)
    expect(valuesOf(text).map((entry) => entry.value)).toEqual([{ a: 1 }, { b: 2 }])
  })
})

describe('parseText', () => {
  it('reads values as the API server does', () => {
    const [entry] = valuesOf('a: 0644\nb: yes\nc: 2026-01-01T00:00:00Z\nd: 1:30\ne: "yes"\nf: &x {g: 1}\nh: {<<: *x}\n')
    expect(entry?.value).toEqual({
      a: 420,
      b: true,
      c: '2026-01-01T00:00:00Z',
      d: '1:30',
      e: 'yes',
      f: { g: 1 },
      h: { g: 1 },
    })
  })

  it('knows lines of YAML, and of the nearest thing above what is not there', () => {
    const [entry] = valuesOf('# comment\nkind: Service\nspec:\n  ports:\n    - port: 1\n    - port: 70000\n')
    expect(entry?.lineOf([])).toBe(2)
    expect(entry?.lineOf(['spec', 'ports', 1, 'port'])).toBe(6)
    expect(entry?.lineOf(['spec', 'ports', 0, 'name'])).toBe(5)
    expect(entry?.lineOf(['metadata', 'name'])).toBe(2)
  })

  it('knows lines of JSON', () => {
    const text =
      '---\n{\n "kind": "List", "x": {"y": {"z": "\\"{"}},\n "items": [\n  {"a": 1},\n  {\n   "b": [2]\n  }\n ]\n}\n'
    const [entry] = valuesOf(text)
    expect(entry?.value).toMatchObject({ items: [{ a: 1 }, { b: [2] }] })
    expect([[], ['items', 0], ['items', 1], ['items', 1, 'b', 0]].map((path) => entry?.lineOf(path))).toEqual([
      2, 5, 6, 7,
    ])
  })

  it.each([
    ['a: [1\n', 2],
    ['a: 1\na: 2\n', 2],
    ['a: 1\n b: 2\n', 1],
    ['a:\n\t- b\n', 2],
    ['{"a": 1,\n "b": \n', 2],
    ['a: *nowhere\n', 1],
  ])('says where %j is wrong', (text, line) => {
    const parsed = parseText(text)
    expect('failures' in parsed && parsed.failures[0]?.line).toBe(line)
  })

  it('does not expand aliases without end', () => {
    const levels = Array.from({ length: 12 }, (_, i) => `l${i + 1}: &l${i + 1} [${`*l${i},`.repeat(9)}]`)
    expect(parseText(`l0: &l0 [x]\n${levels.join('\n')}\n`)).toHaveProperty('failures')
  })

  it('finds no value in comments and empty documents', () => {
    expect(valuesOf('---\n# nothing\n')).toEqual([])
  })
})
