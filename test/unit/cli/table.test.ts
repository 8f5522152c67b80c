import { expect, it } from 'vitest'
import { formatDuration, parseDuration } from '../../../agent/cli/duration.ts'
import { formatTable } from '../../../agent/cli/table.ts'

it('pads columns by three, keeps a least width and leaves no trailing spaces', () => {
  expect(
    formatTable(
      ['A', 'B'],
      [
        ['1', ''],
        ['12345', 'x'],
      ],
    ),
  ).toBe('A       B\n1\n12345   x\n')
  expect(formatTable(['ID', 'X'], [['1', 'y']])).toBe('ID   X\n1    y\n')
})

it('breaks cells of several lines into rows', () => {
  expect(
    formatTable(
      ['ID', 'L', 'S'],
      [
        ['1', ['a', 'bb'], 'ok'],
        ['2', [], 'no'],
      ],
      { indent: 2 },
    ),
  ).toBe('  ID   L    S\n  1    a    ok\n       bb\n  2         no\n')
})

it('measures characters, not code units', () => {
  expect(formatTable(['N', 'X'], [['🔌🔌🔌', 'y']])).toBe('N     X\n🔌🔌🔌   y\n')
})

it('reads and writes durations', () => {
  expect(parseDuration('1h30m')).toBe(5_400_000)
  expect(parseDuration('250ms')).toBe(250)
  for (const bad of ['', '5', 'm', '1h x', '-1s']) expect(() => parseDuration(bad)).toThrow('not a duration')
  expect([0, 63, 7205].map(formatDuration)).toEqual(['0s', '1m3s', '2h0m5s'])
})
