import { readdirSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { probePrivileges } from '../../native/index.ts'
import { readCase } from './format.ts'
import { KernelPlace } from './kernel-place.ts'
import { MemoryPlace } from './memory-place.ts'
import { runCase } from './run.ts'

const FOLDER = path.resolve('test/scenario/cases')
const FILES = readdirSync(FOLDER).filter((name) => name.endsWith('.yaml'))
const CASES = FILES.map((file) => ({ file, scenario: readCase(path.join(FOLDER, file)) }))
const PLACES = { kernel: KernelPlace, memory: MemoryPlace } as const

test('there are cases, each with a title of its own', () => {
  const titles = CASES.map(({ scenario }) => scenario.title)
  expect(titles.length).toBeGreaterThan(25)
  expect(new Set(titles).size).toBe(titles.length)
})

describe.each(['kernel', 'memory'] as const)('over %s', (name) => {
  const here = CASES.filter(({ scenario }) => scenario.only === undefined || scenario.only === name)
  test.for(here)('$scenario.title', async ({ scenario }, context) => {
    const privileges = probePrivileges()
    if (name === 'kernel' && !privileges.ok) return context.skip(privileges.detail)
    const place = new PLACES[name](scenario.config.mapSizes)
    try {
      await runCase(scenario, place)
    } finally {
      place.close()
    }
  })
})
