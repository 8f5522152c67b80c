import { describe, expect, test } from 'vitest'
import { field, goMap, goString, parseObject, WireError } from '../../../../agent/types/wire/go-json.ts'

describe('JSON as Go writes it', () => {
  test.each([
    ['a<b>&c', '"a\\u003cb\\u003e\\u0026c"'],
    ['\u2028\u2029', '"\\u2028\\u2029"'],
    ['"\\\n\t\u0001', '"\\"\\\\\\n\\t\\u0001"'],
    ['é😀', '"é😀"'],
  ])('%j', (value, json) => expect(goString(value)).toBe(json))

  test('map keys are sorted by their bytes, numbers among them not first', () => {
    const entries = Object.entries({ b: 1, '10': 2, a: 3, '9': 4, '\uffff': 5, '😀': 6 })
    expect(goMap(entries, String)).toBe('{"10":2,"9":4,"a":3,"b":1,"\uffff":5,"😀":6}')
  })

  test('fields are found whatever their case, null is absent', () => {
    const object = parseObject('{"ClusterID":3,"NAME":"x","labels":null}')
    expect(field(object, 'clusterID')).toBe(3)
    expect(field(object, 'Name')).toBe('x')
    expect(field(object, 'labels')).toBeUndefined()
    expect(field(object, 'toString')).toBeUndefined()
  })

  test.each(['', '{', '[]', 'null', '1', '"x"'])('%j is refused', (value) =>
    expect(() => parseObject(value)).toThrow(WireError),
  )
})
