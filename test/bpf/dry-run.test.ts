import { afterAll, beforeAll, describe, it } from 'vitest'
import { DROP_REASONS } from '../../agent/maps/drop-reasons.ts'
import { dryRunInput, dryRunOutput } from '../../agent/maps/dry-run.ts'
import { MAPS } from '../../agent/maps/layout.gen.ts'
import type { Trial } from './run.ts'
import { expectSame, pathsOf, runCase, verdictOf } from './run.ts'
import { TABLES } from './tables/index.ts'
import { World } from './world.ts'

/*
 * Every packet of every table once more as a dry run, right before it is sent: it must come to the same verdict and, where it
 * changes no ports by search, to the same packet, and leave every map as it was.
 */

let world: World | undefined

beforeAll(() => {
  world = new World()
  // Somebody listens to everything.
  const value = Buffer.alloc(8)
  value.writeUInt32LE(3)
  world.map(MAPS.w_rt_v1.name).update(Buffer.alloc(4), value)
})
afterAll(() => world?.close())

/** Everything in a map that can be listed; where the ring's next record goes. */
function dump(here: World): string[] {
  return Object.keys(MAPS).flatMap((name) => {
    if (name === MAPS.w_purge.name) return []
    const map = here.mapIfAny(name)
    if (map === undefined) return []
    if (name === MAPS.w_ev.name) return [`${name} ${here.ringPosition()}`]
    if (name === MAPS.w_slot_v1.name || name === MAPS.w_be4_v1.name || name === MAPS.w_rnat4_v1.name) return []
    const { keys, values, count } = map.dump()
    const lines = Array.from({ length: count }, (_, i) => {
      const key = keys.subarray(i * map.keySize, (i + 1) * map.keySize).toString('hex')
      return `${name} ${key} ${values.subarray(i * map.valueStride, (i + 1) * map.valueStride).toString('hex')}`
    })
    return lines.filter((line) => !/ 0+$/.test(line)).sort()
  })
}

/** Drops that are told by ICMP come out as the error, for real: a dry run only says so. */
function dryRun(here: World, { program, hook, frame, ifindex }: Trial): (verdict: string) => void {
  const kind = hook === 'xdp' ? 'xdp' : 'tc'
  const before = dump(here)
  const result = program.testRun(dryRunInput(kind, frame, ifindex))
  const { answer } = dryRunOutput(kind, result)
  expectSame('maps', dump(here), before)
  const dry = verdictOf(kind, result.retval)
  const known = answer.reason === 0 || Object.values<number>(DROP_REASONS).includes(answer.reason)
  if (!known || (dry === 'drop') !== answer.reason > 0) throw new Error(`${dry} with reason ${answer.reason}`)
  return (verdict) => {
    // Encapsulated packets are not followed.
    if (answer.isLeft) return
    const told = dry === 'drop' && answer.answered !== undefined
    // Whether a port is free is found out by taking it.
    const searched = verdict === 'drop' && answer.serviceId !== 0
    if (dry !== verdict && !(told && verdict === 'redirect') && !searched) {
      throw new Error(`the dry run came to ${dry}, the packet to ${verdict}`)
    }
  }
}

describe.each(TABLES)('dry runs: %s', (_subject, cases) => {
  for (const test of cases) {
    for (const path of pathsOf(test).filter((each) => each !== 'tc-complete')) {
      it(`${test.description} [${path}]`, () => {
        if (world === undefined) throw new Error('the world was not made')
        const here = world
        runCase(here, test, path, (trial) => dryRun(here, trial))
      })
    }
  }
})
