import { MemoryTarget } from '../../compliance/memory-target.ts'
import { targetCompliance } from '../../compliance/target.ts'

interface Entry {
  readonly text: string
}

const equals = (a: Entry, b: Entry): boolean => a.text === b.text

targetCompliance('in memory', () => {
  const target = new MemoryTarget<Entry>(new Map(), equals)
  target.capacity = 20
  return {
    target,
    capacity: 20,
    sample: (n) => [`key-${n}`, { text: `value ${n}` }],
    changed: (n) => ({ text: `other ${n}` }),
    reopen: () => {
      const again = new MemoryTarget(target.entries, equals)
      again.capacity = 20
      return again
    },
    close: () => undefined,
  }
})
