-- Write a number and publish it, as every event is: a gateway that hears its own number knows that events arrive.
-- KEYS  1 the gateway's key, which is also the channel
-- ARGV  1 number  2 seconds that the key is kept
-- Returns 1.
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
redis.call('PUBLISH', KEYS[1], ARGV[1])
return 1
