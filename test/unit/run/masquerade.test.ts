import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { MasqueradeEntry } from '../../../agent/types/datapath.ts'
import type { Problem } from '../../../agent/types/problem.ts'
import { createLog } from '../../../agent/lib/log.ts'
import { Masquerade, readList } from '../../../agent/run/masquerade.ts'
import { parseCidr } from '../../../agent/types/address.ts'
import { MemoryTarget } from '../../compliance/memory-target.ts'
import { eventually } from '../../eventually.ts'
import { SteppedClock } from '../../stepped-clock.ts'

let directory = ''
let file = ''
let map: Map<string, MasqueradeEntry>
let problems: readonly Problem[]
let clock: SteppedClock
const running: Masquerade[] = []

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'weft-masq-'))
  file = join(directory, 'config')
  map = new Map()
  problems = []
  clock = new SteppedClock()
})

afterEach(async () => {
  for (const each of running.splice(0)) await each.stop()
  rmSync(directory, { recursive: true })
})

async function start(config: { nonMasqueradeCIDRs?: string[]; masqLinkLocal?: boolean } = {}): Promise<void> {
  const { nonMasqueradeCIDRs, masqLinkLocal } = config
  running.push(
    await Masquerade.start({
      target: new MemoryTarget(map, () => true),
      config: { enabled: true, configFile: file, config: { nonMasqueradeCIDRs, masqLinkLocal } },
      onProblems: (found) => (problems = found),
      ...{ clock, random: () => 0.5, log: createLog('error', 'test'), auditMs: 0 },
    }),
  )
}

/** As mounted configuration is replaced. */
function write(text: string): void {
  writeFileSync(`${file}.new`, text)
  renameSync(`${file}.new`, file)
}

const there = (): string[] => [...map.keys()].sort()

describe('destinations that see pods by their own addresses', () => {
  it('are those of the configuration, with link-local ones unless it says otherwise', async () => {
    await start({ nonMasqueradeCIDRs: ['10.1.0.0/16'] })
    expect(there()).toEqual(['10.1.0.0/16', '169.254.0.0/16'])
    await start({ nonMasqueradeCIDRs: ['10.1.0.0/16'], masqLinkLocal: true })
    expect(there()).toEqual(['10.1.0.0/16'])
  })

  it('are the built-in ranges where there is no file, or an empty one, or an empty list', async () => {
    await start()
    expect(map.size).toBe(12)
    expect(there()).toContain('100.64.0.0/10')
    expect(readList('').nonMasqueradeCIDRs).toEqual([])
    expect(readList('nonMasqueradeCIDRs: []\n').nonMasqueradeCIDRs).toEqual([])
  })

  it('follow the file', async () => {
    write('nonMasqueradeCIDRs:\n- 10.0.0.0/8\n- fd00::/8\nresyncInterval: 60s\n')
    await start()
    expect(there()).toEqual(['10.0.0.0/8', '169.254.0.0/16'])
    write('{"nonMasqueradeCIDRs": ["10.1.0.0/16"], "masqLinkLocal": true}')
    clock.step(1000)
    await eventually(() => expect(there()).toEqual(['10.1.0.0/16']))
  })

  it('stay as they are when the file says nothing that can be understood, from the start on', async () => {
    map.set('10.7.0.0/16', { prefix: parseCidr('10.7.0.0/16')! })
    write('nonMasqueradeCIDRs: 10.0.0.0/8\n')
    await start()
    expect(there()).toEqual(['10.7.0.0/16'])
    expect(problems.map((each) => each.code)).toEqual(['ip-masq-config'])
    write('nonMasqueradeCIDRs: [10.1.0.0/16]\n')
    clock.step(1000)
    await eventually(() => expect(there()).toEqual(['10.1.0.0/16', '169.254.0.0/16']))
    expect(problems).toEqual([])
    write('nonMasqueradeCIDRs: [10.1.0.0/99]\n')
    clock.step(1000)
    await eventually(() => expect(problems.map((each) => each.code)).toEqual(['ip-masq-config']))
    expect(there()).toEqual(['10.1.0.0/16', '169.254.0.0/16'])
  })
})
