import type { Log } from '../../../../agent/lib/log.ts'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { silentLog } from '../../../../agent/lib/log.ts'
import { ProbeMemory } from '../../../../agent/sources/probes/memory.ts'
import { reachKey } from '../../../../agent/types/reach.ts'
import { ip } from '../../desired/fixture.ts'

const KEYS = [reachKey(ip('10.1.0.1'), 80), reachKey(ip('255.255.255.255'), 65535)]

let dir: string
let warnings: string[]
let memory: ProbeMemory

beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'weft-memory-'))
  warnings = []
  const log: Log = { ...silentLog, warn: (_, message) => void warnings.push(message) }
  memory = new ProbeMemory(path.join(dir, 'state', 'probes'), log)
})

afterEach(() => rmSync(dir, { recursive: true, force: true }))

test('what is kept is recalled, by another process as well; nothing is at first', async () => {
  expect(memory.recall()).toEqual(new Set())
  await memory.keep(KEYS)
  expect(memory.recall()).toEqual(new Set(KEYS))
  expect(readdirSync(path.join(dir, 'state'))).toEqual(['probes'])
  await memory.keep([])
  expect(memory.recall()).toEqual(new Set())
  expect(warnings).toEqual([])
})

test('lines of another kind are passed over', async () => {
  await memory.keep(KEYS)
  const file = path.join(dir, 'state', 'probes')
  writeFileSync(file, `10.0.0.1\n10.0.0.1:0\n10.0.0.1:65536\n10.0.0:1\n${readFileSync(file, 'utf8')}\u0000`)
  expect(memory.recall()).toEqual(new Set(KEYS))
})

test('a place that cannot be written is complained of once', async () => {
  writeFileSync(path.join(dir, 'state'), '')
  await memory.keep(KEYS)
  await memory.keep(KEYS)
  expect(warnings).toHaveLength(1)
})
