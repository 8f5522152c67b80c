import { readdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { describe, expect, it } from 'vitest'
import { CONFIG, MAPS } from '../../agent/maps/layout.gen.ts'
import { SVC_FLAGS } from '../../agent/maps/service.ts'
import { SERVICE_FLAGS } from '../../agent/types/service-flags.ts'
import { BpfObject } from '../../native/index.ts'
import { loadObject } from './load.ts'
import { objectPath } from './world.ts'

const built = readdirSync(dirname(objectPath('any')))
  .filter((name) => name.endsWith('.o'))
  .map((name) => name.slice(0, -2))

describe('built objects', () => {
  it('are the ones the layout was generated from', () => {
    // The tools have no configuration.
    expect(built.toSorted()).toEqual([...Object.keys(CONFIG), 'weft_tools'].toSorted())
  })

  it.each(built)('%s loads into the running kernel, with its maps in full size', (name) => {
    expect(loadObject(name)).not.toEqual([])
  })

  it.each(built)('%s has the maps and the configuration that the layout says', (name) => {
    const object = BpfObject.open(objectPath(name))
    try {
      const maps = object.mapNames.filter((map) => map.startsWith('w_'))
      expect(Object.keys(MAPS)).toEqual(expect.arrayContaining(maps))
      const variables = object.btf.variables('.rodata')
      const layout: Readonly<Record<string, { variables: Readonly<Record<string, { offset: number }>> }>> = CONFIG
      for (const [variable, { offset }] of Object.entries(layout[name]?.variables ?? {})) {
        expect(variables.get(variable)?.offset, variable).toBe(offset)
      }
    } finally {
      object.close()
    }
  })
})

it('service flags are the same for those who set them and for the programs', () => {
  expect(SERVICE_FLAGS).toEqual(SVC_FLAGS)
})
