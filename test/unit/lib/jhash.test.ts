import { expect, test } from 'vitest'
import { jhash3 } from '../../../agent/lib/jhash.ts'

test('the kernel values for three words', () => {
  expect(jhash3(123, 234, 345, 456)).toBe(2698615579)
  expect(jhash3(0, 0, 0, 0)).toBe(459859287)
})
