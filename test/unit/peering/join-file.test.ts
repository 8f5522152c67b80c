import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import type { Signer } from '../../../agent/pki/issue.ts'
import { canonicalJson } from '../../../agent/peering/canonical.ts'
import type { JoinError } from '../../../agent/peering/errors.ts'
import { parseFingerprint } from '../../../agent/peering/fingerprint.ts'
import { readJoinFile, writeJoinFile } from '../../../agent/peering/join-file.ts'
import { factsOf, issue, makeCa, NOW } from './fixture.ts'

let ca: Signer
beforeAll(async () => {
  ca = await makeCa()
})

function codeOf(read: () => unknown): string {
  try {
    read()
  } catch (error) {
    return (error as JoinError).code
  }
  return 'accepted'
}

const at = (ms: number): Date => new Date(NOW.getTime() + ms)

/** Any JSON a join file could hold. */
const json = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.string(),
    fc.integer(),
    fc.boolean(),
    fc.constant(null),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(fc.string(), tie('value'), { maxKeys: 4 }),
  ),
})).value

describe('canonical JSON', () => {
  test('has one text for a value, whatever the order of its keys', () => {
    expect(canonicalJson({ b: [1, -0], a: { d: null, c: 'ä"' } })).toBe('{"a":{"c":"ä\\"","d":null},"b":[1,0]}')
    fc.assert(
      fc.property(json, (value) => {
        const text = canonicalJson(value)
        expect(canonicalJson(JSON.parse(text))).toBe(text)
        expect(canonicalJson(reversed(value))).toBe(text)
      }),
    )
  })

  test('refuses numbers that have several spellings', () => {
    expect(() => canonicalJson(0.1)).toThrow(TypeError)
    expect(() => canonicalJson(NaN)).toThrow(TypeError)
  })
})

function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, each]) => [key, reversed(each)]),
  )
}

describe('a join file', () => {
  test('says what was signed, by whom', async () => {
    const pair = await issue(ca, { kind: 'remote' })
    const facts = factsOf(ca, { client: pair })
    const read = readJoinFile(writeJoinFile(facts, ca), NOW)
    expect(read.facts).toEqual(facts)
    expect(read.signer.fingerprint).toBe(ca.certificate.fingerprint)
  })

  test('survives being reformatted', () => {
    const text = writeJoinFile(factsOf(ca), ca)
    expect(codeOf(() => readJoinFile(JSON.stringify(JSON.parse(text), null, 2), NOW))).toBe('accepted')
  })

  test('is refused when any of its characters was changed', () => {
    const text = writeJoinFile(factsOf(ca), ca)
    const meaning = canonicalJson(JSON.parse(text))
    fc.assert(
      fc.property(fc.nat(text.length - 2), fc.integer({ min: 32, max: 126 }), (i, code) => {
        const changed = text.slice(0, i) + String.fromCharCode(code) + text.slice(i + 1)
        if (sameMeaning(changed, meaning)) return
        expect(codeOf(() => readJoinFile(changed, NOW))).not.toBe('accepted')
      }),
      { numRuns: 500 },
    )
  })

  test('is refused with a field that was added, even one nobody reads', () => {
    const file = JSON.parse(writeJoinFile(factsOf(ca), ca)) as { facts: Record<string, unknown> }
    file.facts['more'] = 1
    expect(codeOf(() => readJoinFile(JSON.stringify(file), NOW))).toBe('join-signature')
  })

  test('is refused when another CA signed, or one that is no CA', async () => {
    const other = await makeCa('east CA')
    expect(codeOf(() => readJoinFile(writeJoinFile(factsOf(ca), other), NOW))).toBe('join-signature')
    const forged = writeJoinFile(factsOf(ca), { certificate: ca.certificate, key: other.key })
    expect(codeOf(() => readJoinFile(forged, NOW))).toBe('join-signature')
    const leaf = await issue(ca, { kind: 'remote' })
    const { signerOf } = await import('../../../agent/pki/issue.ts')
    const signer = signerOf(leaf)
    const byLeaf = writeJoinFile(factsOf(ca, { caCertificates: [ca.certificate.pem, leaf.certificate] }), signer)
    expect(codeOf(() => readJoinFile(byLeaf, NOW))).toBe('join-ca')
  })

  test.each([
    [-61_000, 'join-from-the-future'],
    [-59_000, 'accepted'],
    [86_399_999, 'accepted'],
    [86_400_000, 'join-expired'],
    [20 * 365 * 86_400_000, 'join-ca'],
  ])('%i ms after it was made: %s', (ms, code) => {
    expect(codeOf(() => readJoinFile(writeJoinFile(factsOf(ca), ca), at(ms)))).toBe(code)
  })

  test.each([
    '',
    '[]',
    '{}',
    'endpoints: []',
    '{"format":"weft.join/2","facts":{},"signature":{"signer":"","value":""}}',
  ])('is not this: %s', (text) => {
    expect(codeOf(() => readJoinFile(text, NOW))).toBe('join-malformed')
  })

  test('is not written with facts that cannot be true', () => {
    for (const wrong of [{ podCidrs: ['10.1.0.1/16'] }, { endpoints: [] }, { cluster: { name: 'East', id: 2 } }]) {
      expect(codeOf(() => writeJoinFile(factsOf(ca, wrong), ca))).toBe('join-facts')
    }
  })
})

function sameMeaning(text: string, meaning: string): boolean {
  try {
    return canonicalJson(JSON.parse(text)) === meaning
  } catch {
    return false
  }
}

test('fingerprints are the same with and without colons', () => {
  const hex = 'ab'.repeat(32)
  expect(parseFingerprint('AB:'.repeat(31) + 'AB')).toBe(hex)
  expect(parseFingerprint(`sha256 Fingerprint=${hex}`)).toBe(hex)
  expect(parseFingerprint('ab'.repeat(31))).toBeUndefined()
})
