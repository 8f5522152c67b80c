import { expect, test } from 'vitest'
import { addRange, localPorts } from '../../../agent/targets/datapath/sysctl.ts'

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

const usual = { first: 30000, last: 32767 }

test.each([
  ['32768\t60999', usual, '12000\t29999'],
  ['1024\t65535', usual, '1024\t29999'],
  ['20000\t40000', usual, '12000\t29999'],
  ['40000\t50000', { first: 3000, last: 4000 }, '1024\t2999'],
  // Nothing in the way of forwarded flows; node ports in it are reserved.
  ['10000\t29999', usual, '10000\t29999'],
  ['10000\t32767', usual, '10000\t32767'],
])('local ports %j beside node ports %j become %j', (before, nodePorts, after) => {
  expect(localPorts(before, nodePorts)).toBe(after)
})

test('node ports that leave no local ports are told', () => {
  expect(() => localPorts('32768\t60999', { first: 2000, last: 3000 })).toThrow(/no room .* node ports/)
})
