import { expect, test } from 'vitest'
import { addRange } from '../../../agent/targets/datapath/sysctl.ts'

test.each([
  ['', '30000-32767'],
  ['8080', '8080,30000-32767'],
  ['30000-32767', '30000-32767'],
  ['30000-31000,32000-33000', '30000-33000'],
  ['22,29999,32768,40000-40001', '22,29999-32768,40000-40001'],
  ['1000-65535', '1000-65535'],
])('reserved ports %j become %j', (before, after) => {
  expect(addRange(before, { first: 30000, last: 32767 })).toBe(after)
})
