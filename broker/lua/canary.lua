-- Write something and publish it, as every event is: whoever publishes it and hears it knows that events arrive.
-- KEYS  1 the canary's key, which is its channel too
-- ARGV  1 its number  2 seconds that the key is kept
-- Returns 1.
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
redis.call('PUBLISH', KEYS[1], ARGV[1])
return 1
